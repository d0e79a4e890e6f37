import type { ErrorReport } from '../../describe-error.js'
import { readObjectMetadata } from '@sealfleet/store'
import { claimOf, type SourceClaim } from './claim.js'
import {
  examineObject,
  judgeHeader,
  metadataOf,
  type Examination,
  type JudgeOptions,
  type JudgePorts,
} from './examine.js'
import { unplaced, type Sealed, type Unplaced } from './terms.js'

export type Intact = Extract<Examination, { readonly kind: 'whole' }>
export type Damaged = Extract<Examination, { readonly kind: 'damaged' }>

/** What will be written for one file, and what cannot be. */
export interface Selection {
  readonly winner: Intact | undefined
  /** The source that the winner's metadata claims. */
  readonly claim: SourceClaim
  /** Attempts below the winner, and damaged ones above it: their headers are authentic, their numbers all different. */
  readonly losers: readonly (Intact | (Damaged & { readonly authentic: true }))[]
  readonly unplaced: readonly Unplaced[]
  readonly duplicates: number
  /** The highest attempt number in any header. */
  readonly highest: number
}

/** Limit for an unauthenticated attempt number: a forged header must not use up the file's numbers. */
const BELIEVABLE = 1_000_000
/** What a record can hold. */
export const MAX_ATTEMPT_NO = 2_147_483_647

/**
 * Examines the attempts at one file, highest number first, until one is whole: that one wins. Two whole attempts with
 * one number are both left out, since nothing shows which was committed. A higher attempt that lacks only its context
 * leaves the file out, too: with its context it would win.
 */
export async function select(ports: JudgePorts, found: readonly Sealed[], o: JudgeOptions): Promise<Selection> {
  const problems: Unplaced[] = []
  const judged: Examination[] = []
  const metadata = await metadataOf(ports, found, o)
  const theirs = metadata.map((one) => readObjectMetadata(one).context).filter((context) => context !== undefined)
  const options = { ...o, contexts: [...o.contexts, ...theirs] }
  let winner: Intact | undefined
  let duplicates = 0
  const byNumber = [...groupBy(found, ({ info }) => info.attemptNo)].sort(([a], [b]) => b - a)
  const rounds = byNumber.map(([, same]) => [...groupBy(same, ({ info }) => info.attemptId).values()])
  let round = 0
  for (; round < rounds.length && winner === undefined; round++) {
    const here: Intact[] = []
    for (const versions of rounds[round] ?? []) {
      const outcome = await judgeVersions(ports, versions, options)
      judged.push(...outcome.judged)
      duplicates += outcome.duplicates
      problems.push(...outcome.judged.flatMap(problemOf))
      if (outcome.whole) here.push(outcome.whole)
    }
    if (here.length > 1) {
      problems.push(...here.map(({ sealed }) => equal(sealed)))
      return {
        winner: undefined,
        claim: {},
        losers: [],
        unplaced: problems,
        duplicates,
        highest: highestOf(found, judged),
      }
    }
    if (judged.some((one) => one.kind === 'damaged' && one.error.code === 'E_CONTEXT')) break
    winner = here[0]
  }
  const below = winner === undefined || o.quick ? [] : rounds.slice(round).flatMap((same) => same.map((v) => v[0]))
  for (const sealed of below) if (sealed !== undefined) judged.push(await judgeHeader(ports, sealed, options))
  const lost = judged.filter((one) => one !== winner)
  const losers = o.quick || winner === undefined ? [] : withNumbersOfTheirOwn(lost.filter(isAuthentic), winner)
  // Below the winner nothing is lost, but an object without an authentic header belongs to no file. (Under a key that
  // was
  // destroyed after its files were re-encrypted, this cannot be checked any more, and nothing is wrong.)
  const strays = lost.filter((one) => isStray(one) && below.includes(one.sealed))
  problems.push(...strays.flatMap(problemOf))
  const claim = winner === undefined ? {} : claimOf({ ...winner.info, metadata: winner.head.metadata }, metadata)
  return { winner, claim, losers, unplaced: problems, duplicates, highest: highestOf(found, judged) }
}

/** The versions of one attempt's key, the newest first, until one is whole: the others are duplicates. */
async function judgeVersions(
  ports: JudgePorts,
  versions: readonly Sealed[],
  o: JudgeOptions,
): Promise<{ whole: Intact | undefined; judged: readonly Examination[]; duplicates: number }> {
  const judged: Examination[] = []
  for (const [i, sealed] of versions.entries()) {
    const one = await examineObject(ports, sealed, o)
    judged.push(one)
    if (one.kind === 'whole') return { whole: one, judged, duplicates: versions.length - i - 1 }
  }
  return { whole: undefined, judged, duplicates: 0 }
}

function isStray(one: Examination): boolean {
  return one.kind === 'damaged' && !one.authentic && one.error.code !== 'E_KEY_DESTROYED'
}

function isAuthentic(one: Examination): one is Selection['losers'][number] {
  return one.kind === 'whole' || (one.kind === 'damaged' && one.authentic)
}

/** Of several attempts with one number a record can hold the first alone; the others' objects stay unknown to it. */
function withNumbersOfTheirOwn(losers: readonly Selection['losers'][number][], winner: Intact): Selection['losers'] {
  const taken = new Set([winner.info.attemptNo])
  return losers.filter(({ sealed: { info } }) => {
    if (info.attemptId === winner.info.attemptId || taken.has(info.attemptNo)) return false
    taken.add(info.attemptNo)
    return true
  })
}

function problemOf(one: Examination): readonly Unplaced[] {
  if (one.kind !== 'damaged') return []
  const { entry, info } = one.sealed
  return [unplaced(entry, info, one.error.code, messageOf(one.error))]
}

function messageOf({ code, message }: ErrorReport): string {
  if (code !== 'E_CONTEXT') return message
  return 'neither the context in its metadata nor the empty one is the one it was sealed with: give the right one with --context'
}

function equal({ entry, info }: Sealed): Unplaced {
  const message = `another intact object is attempt ${info.attemptNo} at this file, too: decide which to delete, and run again`
  return unplaced(entry, info, 'EQUAL_ATTEMPTS', message)
}

function highestOf(found: readonly Sealed[], judged: readonly Examination[]): number {
  const vouchedFor = new Set(judged.filter(isAuthentic).map(({ sealed }) => sealed))
  const numbers = found
    .filter((sealed) => vouchedFor.has(sealed) || sealed.info.attemptNo <= BELIEVABLE)
    .map(({ info }) => info.attemptNo)
  return Math.max(1, ...numbers)
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}
