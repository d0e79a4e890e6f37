/** A private SoftHSM token: its own configuration and directory, random PINs in files of mode 0600. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { secretIn, writeWhole } from './files.mjs'
import { findSoftHsm } from './find-tools.mjs'
import { Refusal } from './say.mjs'

/** @typedef {import('./process-service.mjs').Service} Service */

const LABEL = 'sealfleet'

/** Not a process: `start` makes the token when it is missing, `stop` leaves it. @type {Service} */
export const softhsm = {
  async start({ home, record, say }) {
    const module = findSoftHsm()
    if (!module) throw new Refusal('SoftHSM is not installed: `npm run setup` installs it, or says how.')
    const directory = join(home, 'softhsm')
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const conf = await writeSoftHsmConf(directory, join(directory, 'tokens'))
    const pin = await secretIn(join(directory, 'pin'), 8)
    const soPin = await secretIn(join(directory, 'so-pin'), 8)
    if (!existsSync(join(directory, 'tokens'))) {
      // Under another name until it is complete: `tokens` is either missing or holds an initialised token.
      const unfinished = join(directory, 'unfinished')
      await rm(unfinished, { recursive: true, force: true })
      await mkdir(join(unfinished, 'tokens'), { recursive: true, mode: 0o700 })
      const env = { SOFTHSM2_CONF: await writeSoftHsmConf(unfinished, join(unfinished, 'tokens')) }
      await initialiseToken({ module, env, label: LABEL, soPin, pin })
      await rename(join(unfinished, 'tokens'), join(directory, 'tokens'))
      await rm(unfinished, { recursive: true, force: true })
      say(`softhsm: token \`${LABEL}\` in ${directory}`)
    }
    return { ...record, details: { module, label: LABEL, conf, pinFile: join(directory, 'pin') } }
  },
  serves: ({ home }) => Promise.resolve(existsSync(join(home, 'softhsm', 'tokens'))),
  stop: () => Promise.resolve(),
}

/**
 * @param {string} directory where softhsm2.conf goes
 * @param {string} tokens where the tokens are
 * @returns {Promise<string>} what SOFTHSM2_CONF has to say
 */
async function writeSoftHsmConf(directory, tokens) {
  const path = join(directory, 'softhsm2.conf')
  const lines = [`directories.tokendir = ${tokens}`, 'objectstore.backend = file', 'log.level = ERROR']
  await writeWhole(path, `${lines.join('\n')}\nslots.removable = false\n`)
  return path
}

/** @param {{ module: string, env: NodeJS.ProcessEnv, label: string, soPin: string, pin: string }} options */
async function initialiseToken({ module, env, ...secrets }) {
  const script = fileURLToPath(new URL('./init-token.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, module], { env: { ...process.env, ...env } })
  let errors = ''
  child.stderr.on('data', (text) => (errors += String(text)))
  child.stdin.end(JSON.stringify(secrets))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Refusal(`The SoftHSM token could not be initialised (${code}):\n${errors}`)
}
