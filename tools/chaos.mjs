/**
 * `npm run chaos -- [--minutes M] [--seed N] [--json FILE]`: injects crashes, cut connections and lost data, and checks
 * that no file was lost.
 */
import './lib/node-version.mjs'
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Refusal, runMain } from './lib/say.mjs'
import { runStep } from './lib/run.mjs'

const HELP = `npm run chaos -- [--minutes M] [--seed N] [--json FILE]

Runs workers, maintenance and a producer on private services below .sealfleet/chaos, does to them what a bad week does
(kills at every step, stopped processes, restarted and wiped servers, lost answers, a token that vanishes, sources that
change), waits for quiet, and checks every promise: nothing lost, nothing stored twice, nothing left over.

  --minutes M   how long faults come; default 2; 0.4 is the shortest in which every kind of fault comes once
  --seed N      the same seed gives the same schedule of faults; default: a new one, which is printed
  --json FILE   the figures as JSON

Exit status 0: every check held. 1: the output names what did not. docs/CHAOS.md says how to read it.`

await runMain(async () => {
  const { values } = options()
  if (values.help === true) return void console.log(HELP)
  const minutes = Number(values.minutes ?? '2')
  if (!(minutes > 0 && minutes <= 24 * 60)) throw new Refusal('--minutes wants a number above 0, at most 1440')
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  await runStep('set-up', 'setup.mjs', ['--tests'])
  await runStep('build', 'build.mjs', [])
  const { runChaos } = await import('./chaos/main.mjs')
  const stop = new AbortController()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.once(signal, () => stop.abort(new Refusal(`ended by ${signal}; what was started is stopped`)))
  const held = await runChaos({
    minutes,
    seed: values.seed ?? String(randomInt(1, 2 ** 31)),
    json: values.json,
    signal: stop.signal,
  })
  return held ? 0 : 1
})

function options() {
  const known = /** @type {const} */ ({
    minutes: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  })
  try {
    return parseArgs({ options: known })
  } catch (error) {
    throw new Refusal(`${/** @type {Error} */ (error).message}\n\n${HELP}`, { cause: error })
  }
}
