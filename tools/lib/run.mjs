/** Runs Node programs as steps of a script: output passes through, signals are passed on, failures end the script. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { checkout } from './places.mjs'
import { Refusal } from './say.mjs'

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])

/**
 * Runs a Node program in the checkout, with our own output. While it runs, it receives our signals; when it has ended,
 * we continue with our own clean-up.
 *
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>} its exit status; 1 when a signal ended it
 */
export async function runNode(args, { env = process.env } = {}) {
  const child = spawn(process.execPath, args, { cwd: checkout, env, stdio: ['ignore', 'inherit', 'inherit'] })
  /** @param {NodeJS.Signals} signal */
  const passOn = (signal) => child.kill(signal)
  for (const signal of SIGNALS) process.on(signal, passOn)
  try {
    const [code] = await once(child, 'exit')
    return typeof code === 'number' ? code : 1
  } finally {
    for (const signal of SIGNALS) process.off(signal, passOn)
  }
}

/**
 * Runs another script of this folder; a Refusal when it fails.
 *
 * @param {string} what for the message
 * @param {string} script file name in tools/
 * @param {string[]} args
 */
export async function runStep(what, script, args) {
  const status = await runNode([join(checkout, 'tools', script), ...args])
  if (status !== 0) throw new Refusal(`The ${what} failed (exit status ${status}); see above.`)
}
