import { keyLabel } from '@sealfleet/format'
import { listLiveWorkers, type LiveWorker } from '@sealfleet/records/upkeep'
import type { KeyRow, Records } from '@sealfleet/records'
import { setTimeout as delay } from 'node:timers/promises'
import { CliError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { EXIT } from '../../exit-status.js'
import { printable } from '../../output/printable.js'
import { count } from '../../output/units.js'

/** Interval between two reads of the workers' reports, milliseconds; workers look for keys every 2 s. */
const LOOK_MS = 500
/** An unchanged status is repeated after this, milliseconds. */
const SAY_AGAIN_MS = 10_000
/** An error names this many workers; the others are counted. */
const NAMED = 10

/** A worker that has not confirmed every key, with the reasons as sentences. */
export interface Unconfirmed {
  readonly worker: LiveWorker
  readonly lacks: readonly string[]
}

/** The live workers that have not confirmed every key on every token they use. */
export function unconfirmed(workers: readonly LiveWorker[], keys: readonly KeyRow[]): readonly Unconfirmed[] {
  return workers.flatMap((worker) => {
    const lacks = keys.flatMap((key) => lacking(worker, key))
    return lacks.length === 0 ? [] : [{ worker, lacks }]
  })
}

const WORDS: Readonly<Record<string, string>> = {
  unknown: 'is not on token',
  mismatch: 'is another key on token',
  unreachable: 'could not be checked on token',
  pending: 'cannot be compared on token',
}

function lacking({ keys: said }: LiveWorker, key: KeyRow): readonly string[] {
  const label = keyLabel(key)
  if (said === null) return [`${label}: the worker reports no keys (an older version?)`]
  if (said.confirmed.includes(key.id)) return []
  const tokens = said.lacking.filter((one) => one.key === key.id)
  if (tokens.length === 0) return [`${label}: not checked yet`]
  return tokens.map(({ token, state }) => `${label} ${WORDS[state] ?? state} ${token}`)
}

/**
 * Waits until every live worker has confirmed the check values of `keys` on every token it uses; workers may start or
 * stop meanwhile. Resolves with the ids of the confirming workers. Throws KEY_NOT_EVERYWHERE (status 1) after
 * `seconds`, naming which worker lacks what; nothing was changed then.
 */
export async function waitForWorkers(
  context: CommandContext,
  records: Records,
  keys: readonly KeyRow[],
  seconds: number,
): Promise<readonly string[]> {
  const began = performance.now()
  const say = teller(context, began)
  for (;;) {
    const workers = await listLiveWorkers(records)
    const missing = unconfirmed(workers, keys)
    if (missing.length === 0) {
      const all = workers.length === 1 ? 'the running worker' : `all ${workers.length} running workers`
      await context.print.note(
        workers.length === 0 ? 'no worker is running: nothing to wait for' : `confirmed by ${all}`,
      )
      return workers.map(({ id }) => id)
    }
    if (performance.now() - began >= seconds * 1000) throw notEverywhere(workers, missing, keys, seconds)
    await say(workers, missing)
    await delay(LOOK_MS, undefined, { signal: context.signal })
  }
}

/** Reports which workers are missing when that changes, and repeats it at intervals. */
function teller(context: CommandContext, began: number) {
  let said = ''
  let saidAt = -Infinity
  return async (workers: readonly LiveWorker[], missing: readonly Unconfirmed[]): Promise<void> => {
    const now = performance.now()
    const text = linesOf(missing).join('\n')
    if (text === said && now - saidAt < SAY_AGAIN_MS) return
    said = text
    saidAt = now
    const after = `${Math.round((now - began) / 1000)} s`
    await context.print.note(
      `waiting for ${missing.length} of ${count(workers.length, 'worker')} (${after}):\n${text.replace(/^/gm, '  ')}`,
    )
  }
}

function linesOf(missing: readonly Unconfirmed[]): string[] {
  const lines = missing
    .slice(0, NAMED)
    .flatMap(({ worker: { id, host }, lacks }) => lacks.map((one) => `${id} on ${printable(host)}: ${one}`))
  const others = missing.length - NAMED
  return [...lines, ...(others > 0 ? [`and ${count(others, 'worker')} more`] : [])]
}

function notEverywhere(
  workers: readonly LiveWorker[],
  missing: readonly Unconfirmed[],
  keys: readonly KeyRow[],
  seconds: number,
): CliError {
  const labels = keys.map((key) => keyLabel(key)).join(' and ')
  const who = `${missing.length} of ${count(workers.length, 'worker')} did not confirm`
  return new CliError('KEY_NOT_EVERYWHERE', `${labels} stays PENDING: ${who} it within ${count(seconds, 'second')}`, {
    exitStatus: EXIT.failed,
    lines: linesOf(missing),
    fix:
      'copy the new key to the tokens that lack it, bring back those out of reach, or stop these workers; then run the ' +
      'same command again: it continues with this version',
  })
}
