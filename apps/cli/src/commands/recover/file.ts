import { parseObjectKey, type StoredHeader } from '@sealfleet/objects'
import { getFile, type FileWithObject } from '@sealfleet/records/files'
import { RecordsError, type Records } from '@sealfleet/records'
import { CliError } from '../../cli-error.js'
import type { SourceClaim } from './claim.js'
import { select, MAX_ATTEMPT_NO, type Selection, type Intact } from './select.js'
import type { Group } from './groups.js'
import type { JudgeOptions, JudgePorts } from './examine.js'
import type { KnownKeys } from './known-keys.js'
import { placeFile, type PlaceOptions } from './write-record.js'
import {
  note,
  RECOVERED_BY,
  RECOVERED_ROOT,
  unplaced,
  type RecoveryReport,
  type Sealed,
  type Unplaced,
} from './terms.js'

export interface FilePorts extends JudgePorts {
  readonly records: Records
  readonly known: KnownKeys
}

export interface FileOptions extends JudgeOptions, Omit<PlaceOptions, 'verified'> {
  readonly dryRun: boolean
}

/** The outcome for the objects of one file. */
export interface FileOutcome {
  readonly fileId: string | undefined
  readonly outcome: 'recovered' | 'already' | 'kept' | 'unplaced' | 'foreign'
  readonly attempt?: Intact['info'] | undefined
  /** Of a recovered file, where its object's metadata claims one. */
  readonly claim?: SourceClaim | undefined
  readonly unplaced: readonly Unplaced[]
}

/**
 * Recovers the objects of one file and counts them in `report`. A file that has a record is compared with the listing
 * and not read. @throws for a dependency out of reach, the signal's reason
 */
export async function recoverGroup(
  ports: FilePorts,
  group: Group,
  o: FileOptions,
  report: RecoveryReport,
): Promise<FileOutcome> {
  report.objects += group.found.length
  for (const { entry } of group.found) report.bytes += entry.length ?? 0
  const done = (
    outcome: FileOutcome['outcome'],
    problems: readonly Unplaced[],
    attempt?: Intact['info'],
    claim?: SourceClaim,
  ): FileOutcome => {
    for (const one of problems) note(report, one)
    return { fileId: group.fileId, outcome, unplaced: problems, ...(attempt && { attempt }), ...(claim && { claim }) }
  }
  const known = group.fileId === undefined ? undefined : await getFile(ports.records, group.fileId)
  if (known !== undefined && !wasRecovered(known)) {
    report.kept += 1
    return done('kept', [])
  }
  const { candidates, problems, foreign } = sort(group.found)
  report.foreign += foreign
  if (known !== undefined) {
    const same = group.found.some((header) => isRecorded(header, known))
    if (same) report.already += 1
    return same ? done('already', problems) : done('unplaced', [...problems, ...candidates.map(another)])
  }
  if (candidates.length === 0) return done(problems.length === 0 ? 'foreign' : 'unplaced', problems)
  const choice = await select(ports, candidates, o)
  report.duplicates += choice.duplicates
  const all = [...problems, ...choice.unplaced]
  const { winner } = choice
  if (winner === undefined) return done('unplaced', all)
  const refusal = await place(ports, { ...choice, winner }, o)
  if (refusal !== undefined) return done('unplaced', [...all, refusal])
  countFile(report, choice, winner, group)
  return done('recovered', all, winner.info, choice.claim)
}

/** Recovered by an earlier run: below its root, or committed by the attempt that it wrote. */
function wasRecovered({ file, committed }: FileWithObject): boolean {
  return file.source.root === RECOVERED_ROOT || committed?.owner === RECOVERED_BY
}

/** Objects that may be attempts at this file, and objects that cannot be placed whatever they contain. */
function sort(found: readonly StoredHeader[]): { candidates: Sealed[]; problems: Unplaced[]; foreign: number } {
  const candidates: Sealed[] = []
  const problems: Unplaced[] = []
  let foreign = 0
  for (const header of found) {
    const place = parseObjectKey(header.entry.key)
    if ('info' in header) {
      const problem = misplaced(header, place) ?? unfit(header)
      if (problem === undefined) candidates.push(header)
      else problems.push(problem)
    } else if (place === undefined) foreign += 1
    else
      problems.push(
        unplaced(header.entry, undefined, header.code, 'this is not a sealed object, or only a piece of one'),
      )
  }
  return { candidates, problems, foreign }
}

function misplaced({ entry, info }: Sealed, place: ReturnType<typeof parseObjectKey>): Unplaced | undefined {
  const { keyDomain, fileId, attemptId } = info
  if (place?.fileId === fileId && place.attemptId === attemptId && place.domain === keyDomain) return undefined
  const message = `its header says that it belongs at ${keyDomain}/${fileId}/${attemptId}: records find objects only by that place`
  return unplaced(entry, info, 'E_WRONG_FILE', message)
}

function unfit({ entry, info }: Sealed): Unplaced | undefined {
  if (info.nonceMode === 'detached')
    return unplaced(entry, info, 'E_NONCES_ABSENT', 'its nonces were only in the lost records: it cannot be opened')
  if (info.attemptNo < 1 || info.attemptNo > MAX_ATTEMPT_NO)
    return unplaced(entry, info, 'INVALID', `no record holds the attempt number ${info.attemptNo}`)
  if (entry.version === undefined && !entry.latest)
    return unplaced(
      entry,
      info,
      'INVALID',
      'it was written before the bucket kept versions, and something lies over it',
    )
  return undefined
}

function isRecorded(header: StoredHeader, { committed }: FileWithObject): boolean {
  if (!('info' in header) || committed === null) return false
  const { entry, info } = header
  const pinned =
    committed.objectVersion === null ? committed.etag === entry.etag : committed.objectVersion === entry.version
  return (
    pinned &&
    committed.objectKey === entry.key &&
    committed.objectLength === entry.length &&
    committed.id === info.attemptId &&
    committed.htag.equals(info.htag)
  )
}

function another({ entry, info }: Sealed): Unplaced {
  return unplaced(entry, info, 'CONFLICT', 'the file was recovered from another object, which is not among these')
}

async function place(
  ports: FilePorts,
  choice: Selection & { readonly winner: Intact },
  o: FileOptions,
): Promise<Unplaced | undefined> {
  if (o.dryRun) return undefined
  const { entry, info } = choice.winner.sealed
  try {
    const written = await placeFile(ports.records, ports.known, choice, { ...o, verified: !o.quick })
    return written
      ? undefined
      : unplaced(entry, info, 'CONFLICT', 'another process wrote a record of this file meanwhile')
  } catch (error) {
    const coded = error instanceof RecordsError || error instanceof CliError ? error : undefined
    if (coded === undefined || !REFUSALS.has(coded.code)) throw error
    return unplaced(entry, info, coded.code, coded.message)
  }
}

/** Whether the records refuse this one file only. */
const REFUSALS: ReadonlySet<string> = new Set(['NONCE_REUSE', 'CONFLICT', 'INVALID', 'NOT_FOUND', 'E_KEY_DESTROYED'])

function countFile(report: RecoveryReport, { losers, claim }: Selection, winner: Intact, group: Group): void {
  report.recovered += 1
  report.losers += losers.length
  if (claim.source !== undefined) report.named += 1
  if (claim.refused !== undefined) report.claimsRefused += 1
  const { key } = winner.sealed.entry
  if (!group.found.some(({ entry }) => entry.key === key && entry.latest)) report.hidden += 1
  const { keyDomain, plaintextLength } = winner.info
  const domain = report.domains.get(keyDomain) ?? { files: 0, bytes: 0 }
  report.domains.set(keyDomain, { files: domain.files + 1, bytes: domain.bytes + plaintextLength })
}
