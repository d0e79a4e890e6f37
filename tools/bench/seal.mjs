/**
 * `npm run bench -- seal [--json] [--rounds N]`: how fast one core seals into memory, in segments of 1 MiB, on each path
 * (TypeScript, the native kernel in one lane, in two), against
 *
 * - the limit: every byte goes through AES-CTR once and through SHA-256 once, so OpenSSL's maximum is
 *   1/(1/aes + 1/sha256), both as `openssl speed` measures them (its libcrypto, no Node in between). Two lanes hash two
 *   segments at once and may exceed it;
 * - a peer: @aws-crypto/client-node at frames of 1 MiB under a raw AES keyring (AES-256-GCM, key commitment). Its
 *   suite without signatures is the harder peer and gives `ratio_to_aws`; its default also signs with ECDSA.
 *
 * `ratio_to_limit`: the plaintext lies in the part buffers already, as a file's read(2) leaves it there.
 * `copied_ratio_to_limit`: it comes in chunks of 1 MiB that are copied there.
 *
 * All run on the same core, in turn, several rounds; ratios are taken within a round and the median is printed, so that
 * a machine that speeds up or slows down moves both sides of a ratio. Seconds are seconds of core time (openssl's too,
 * without -elapsed): on an idle core that is elapsed time; on a shared one, other processes' time is excluded.
 *
 * `ratio_two_cores` compares elapsed times of one file on two cores and on one; other work on the machine lowers it.
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

/** @param {number} rounds */
async function measure(rounds) {
  const [first = 0, second] = await coresByIdleness()
  const ours = contestant(OURS)
  const aws = contestant(join(import.meta.dirname, 'seal', 'aws.mjs'))
  const one = contestant(OURS, [first])
  const two = second === undefined ? undefined : contestant(OURS, [first, second])
  const paths = []
  for (const path of PATHS) if ((await ours.run(`check ${path}`)) > 0) paths.push(path)
  await aws.run('unsigned')
  await aws.run('signed')
  for (const side of [one, two]) await side?.run('elapsed auto')
  const results = []
  for (let round = 0; round < rounds; round++) {
    const aes = opensslSpeed('aes-128-ctr')
    /** @type {Record<string, number>} */
    const placed = {}
    for (const path of paths) placed[path] = await ours.run(`placed ${path}`)
    const sha256 = opensslSpeed('sha256')
    /** @type {Record<string, number>} */
    const copied = {}
    for (const path of paths) copied[path] = await ours.run(`copied ${path}`)
    results.push({
      aes,
      sha256,
      limit: 1 / (1 / aes + 1 / sha256),
      placed,
      copied,
      unsigned: await aws.run('unsigned'),
      signed: await aws.run('signed'),
      twoCores: two === undefined ? NaN : (await two.run('elapsed auto')) / (await one.run('elapsed auto')),
    })
  }
  for (const side of [ours, aws, one, two]) side?.end()
  return { paths, results }
}

/** @param {Awaited<ReturnType<typeof measure>>} measured */
function summarise({ paths, results }) {
  /** @param {(result: (typeof results)[number]) => number} of */
  const typical = (of) => rounded(median(results.map(of)))
  const best = paths.at(-1) ?? 'typescript'
  const perPath = paths.map((path) => {
    /** @param {(result: (typeof results)[number]) => Record<string, number>} of */
    const speed = (of) => results.map((result) => of(result)[path] ?? NaN)
    /** @param {(result: (typeof results)[number]) => Record<string, number>} of */
    const ratio = (of) => spreadOf(results.map((result) => (of(result)[path] ?? NaN) / result.limit))
    return /** @type {const} */ ([
      path,
      {
        gib_per_s: rounded(median(speed(({ placed }) => placed))),
        ratio_to_limit: ratio(({ placed }) => placed),
        copied_ratio_to_limit: ratio(({ copied }) => copied),
      },
    ])
  })
  return {
    benchmark: 'seal',
    segment_bytes: 2 ** 20,
    rounds: results.length,
    path: best,
    gib_per_s: typical(({ placed }) => placed[best] ?? NaN),
    limit_gib_per_s: typical(({ limit }) => limit),
    ratio_to_limit: typical(({ placed, limit }) => (placed[best] ?? NaN) / limit),
    ratio_two_cores: typical(({ twoCores }) => twoCores),
    two_cores: spreadOf(results.map(({ twoCores }) => twoCores)),
    paths: Object.fromEntries(perPath),
    openssl_aes_128_ctr_gib_per_s: typical(({ aes }) => aes),
    openssl_sha256_gib_per_s: typical(({ sha256 }) => sha256),
    aws_gib_per_s: typical(({ unsigned }) => unsigned),
    ratio_to_aws: typical(({ placed, unsigned }) => (placed[best] ?? NaN) / unsigned),
    aws_default_gib_per_s: typical(({ signed }) => signed),
    ratio_to_aws_default: typical(({ placed, signed }) => (placed[best] ?? NaN) / signed),
  }
}

/** @param {ReturnType<typeof summarise>} report */
function print(report) {
  /** @param {string} name @param {number} speed @param {string} remark */
  const line = (name, speed, remark) => console.log(`  ${name.padEnd(28)}${speed.toFixed(2)} GiB/s   ${remark}`)
  console.log(`sealing into memory, segments of 1 MiB, one core, medians of ${report.rounds} rounds`)
  for (const [path, { gib_per_s, ratio_to_limit, copied_ratio_to_limit }] of Object.entries(report.paths)) {
    const { median: placed, min, max } = ratio_to_limit
    line(path, gib_per_s, `${placed} of the limit (${min}–${max}); ${copied_ratio_to_limit.median} with a copy`)
  }
  line('limit by openssl speed', report.limit_gib_per_s, '')
  line('@aws-crypto/client-node', report.aws_gib_per_s, `we are ${report.ratio_to_aws} times as fast`)
  line('the same, signing (default)', report.aws_default_gib_per_s, `${report.ratio_to_aws_default} times`)
  console.log(`  one file on two cores: ${report.ratio_two_cores} times as fast as on one`)
}

const { json, rounds } = parseFlags('seal', await onOneCore(fileURLToPath(import.meta.url)))
const report = summarise(await measure(rounds))
if (json) console.log(JSON.stringify(report, null, 2))
else print(report)
