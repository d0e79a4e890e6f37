/**
 * `npm run bench -- open [--json] [--rounds N]`: how fast one core opens and verifies an object in memory, in segments of
 * 1 MiB, on each path, against the limit of sealing: 1/(1/aes + 1/sha256) as `openssl speed` measures them. Verifying
 * does not decrypt, so it may exceed that. Rounds, cores and seconds are as in `npm run bench -- seal`.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  contestant,
  coresByIdleness,
  median,
  onOneCore,
  opensslSpeed,
  parseFlags,
  rounded,
  spreadOf,
} from './shared/limit.mjs'

const OURS = join(import.meta.dirname, 'seal', 'ours.mjs')
const PATHS = /** @type {const} */ (['typescript', 'evp', 'lanes'])
const WORKS = /** @type {const} */ (['open', 'verify'])

/** @param {number} rounds */
async function measure(rounds) {
  const [first = 0, second] = await coresByIdleness()
  const ours = contestant(OURS)
  const one = contestant(OURS, [first])
  const two = second === undefined ? undefined : contestant(OURS, [first, second])
  const paths = []
  for (const path of PATHS) if ((await ours.run(`check ${path}`)) > 0) paths.push(path)
  for (const side of [one, two]) await side?.run('check auto')
  const results = []
  for (let round = 0; round < rounds; round++) {
    const aes = opensslSpeed('aes-128-ctr')
    /** @type {Record<string, number>} */
    const speeds = {}
    for (const work of WORKS) for (const path of paths) speeds[`${work} ${path}`] = await ours.run(`${work} ${path}`)
    const sha256 = opensslSpeed('sha256')
    const twoCores =
      two === undefined ? NaN : (await two.run('open-elapsed auto')) / (await one.run('open-elapsed auto'))
    results.push({ limit: 1 / (1 / aes + 1 / sha256), speeds, twoCores })
  }
  for (const side of [ours, one, two]) side?.end()
  return { paths, results }
}

/** @param {Awaited<ReturnType<typeof measure>>} measured */
function summarise({ paths, results }) {
  const best = paths.at(-1) ?? 'typescript'
  /** @param {string} name */
  const ratios = (name) => results.map(({ speeds, limit }) => (speeds[name] ?? NaN) / limit)
  /** @param {string} name */
  const speed = (name) => rounded(median(results.map(({ speeds }) => speeds[name] ?? NaN)))
  const perPath = paths.map((path) => {
    const [open, verify] = WORKS.map((work) => `${work} ${path}`)
    return /** @type {const} */ ([
      path,
      {
        open_gib_per_s: speed(String(open)),
        verify_gib_per_s: speed(String(verify)),
        ratio_to_limit: spreadOf(ratios(String(open))),
        verify_ratio_to_limit: spreadOf(ratios(String(verify))),
      },
    ])
  })
  return {
    benchmark: 'open',
    segment_bytes: 2 ** 20,
    rounds: results.length,
    path: best,
    limit_gib_per_s: rounded(median(results.map(({ limit }) => limit))),
    ratio_to_limit: rounded(median(ratios(`open ${best}`))),
    verify_ratio_to_limit: rounded(median(ratios(`verify ${best}`))),
    ratio_two_cores: rounded(median(results.map(({ twoCores }) => twoCores))),
    paths: Object.fromEntries(perPath),
  }
}

/** @param {ReturnType<typeof summarise>} report */
function print(report) {
  console.log(`opening and verifying in memory, segments of 1 MiB, one core, medians of ${report.rounds} rounds`)
  for (const [path, found] of Object.entries(report.paths)) {
    const {
      open_gib_per_s: open,
      verify_gib_per_s: verify,
      ratio_to_limit: ratio,
      verify_ratio_to_limit: checked,
    } = found
    console.log(
      `  ${path.padEnd(12)}open ${open.toFixed(2)} GiB/s, ${ratio.median} of the limit (${ratio.min}–${ratio.max})`,
    )
    console.log(
      `  ${''.padEnd(12)}verify ${verify.toFixed(2)} GiB/s, ${checked.median} (${checked.min}–${checked.max})`,
    )
  }
  console.log(`  limit of sealing by openssl speed: ${report.limit_gib_per_s} GiB/s`)
  console.log(`  one file opened on two cores: ${report.ratio_two_cores} times as fast as on one`)
}

const { json, rounds } = parseFlags('open', await onOneCore(fileURLToPath(import.meta.url)))
const report = summarise(await measure(rounds))
if (json) console.log(JSON.stringify(report, null, 2))
else print(report)
