import { FAILURE_CODES, FAILURES } from '@sealfleet/failures'
import { toFileId } from '@sealfleet/queue'
import { getDeadLetter, listDeadLetters, type DeadLetterFilter } from '@sealfleet/records/files'
import { RecordsError, type DeadLetterRow, type Records } from '@sealfleet/records'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { missingError, usageError } from '../../cli-error.js'
import { findDomain } from '../../input/domains.js'
import { wholeNumberOption } from '../../verb.js'
import { printable } from '../../output/printable.js'

/** Options that choose dead letters. */
export interface LetterOptions {
  readonly code?: string
  readonly class?: string
  readonly domain?: string
  /** milliseconds */
  readonly olderThan?: number
  /** milliseconds */
  readonly newerThan?: number
}

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `90s`, `15m`, `6h`, `7d` in milliseconds. */
export function parseAge(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (number === undefined || unit === undefined)
    throw new InvalidArgumentError('It must be an age such as 90s, 15m, 6h or 7d.')
  return Number(number) * UNITS[unit as keyof typeof UNITS]
}

/** One of a closed list, whatever its case; the list is in the error, not in the help. */
export function oneOf(flags: string, description: string, words: readonly string[]): Option {
  return new Option(flags, description).argParser((text) => {
    const found = words.find((word) => word.toLowerCase() === text.toLowerCase())
    if (found === undefined) throw new InvalidArgumentError(`It must be one of ${words.join(', ')}.`)
    return found
  })
}

const CLASSES = [...new Set(FAILURE_CODES.map((code) => FAILURES[code].class as string))].sort()

export function letterOptions(command: Command): Command {
  return command
    .addOption(oneOf('--code <code>', 'only letters with this failure code, e.g. SOURCE_MISSING', FAILURE_CODES))
    .addOption(oneOf('--class <class>', CLASSES.join(', '), CLASSES))
    .option('--domain <id|name>', 'only letters of this key domain')
    .addOption(new Option('--older-than <age>', 'only letters older than this: 90s, 15m, 6h, 7d').argParser(parseAge))
    .addOption(new Option('--newer-than <age>', 'only letters younger than this').argParser(parseAge))
}

/** `--max`, for commands that change letters. */
export function maxOption(): Option {
  return wholeNumberOption('--max <n>', 'at most this many, the oldest first', 1, 1_000_000)
}

export async function letterFilter(records: Records, o: LetterOptions): Promise<DeadLetterFilter> {
  const ago = (ms: number | undefined): Date | undefined => (ms === undefined ? undefined : new Date(Date.now() - ms))
  return {
    code: o.code,
    class: o.class,
    domain: o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id,
    before: ago(o.olderThan),
    since: ago(o.newerThan),
  }
}

/**
 * The open letters that a command acts on, oldest first: named ones (by letter, file or foreign id), or those that a
 * filter selects. All are selected before the first is changed, so a file that dies again meanwhile is not taken twice.
 */
export async function chooseLetters(
  records: Records,
  ids: readonly string[],
  o: LetterOptions & { readonly all?: boolean; readonly max?: number },
  signal: AbortSignal,
): Promise<readonly DeadLetterRow[]> {
  const filters = [o.code, o.class, o.domain, o.olderThan, o.newerThan].some((one) => one !== undefined)
  if (ids.length > 0 && (filters || o.all === true))
    throw usageError('name letters, or choose them by a filter, not both')
  if (ids.length === 0 && !filters && o.all !== true) {
    throw usageError('no dead letters were named', 'name them, or give a filter such as --code, or --all')
  }
  if (ids.length > 0) {
    const letters = new Map<string, DeadLetterRow>()
    for (const id of ids) {
      const letter = await findLetter(records, id)
      letters.set(letter.id, letter)
    }
    return [...letters.values()].slice(0, o.max)
  }
  const filter = await letterFilter(records, o)
  const chosen: DeadLetterRow[] = []
  const limit = 1000
  for (;;) {
    signal.throwIfAborted()
    const after = chosen.at(-1)
    const page = await listDeadLetters(records, { ...filter, limit, ...(after === undefined ? {} : { after }) })
    chosen.push(...page)
    if (page.length < limit || (o.max !== undefined && chosen.length >= o.max)) return chosen.slice(0, o.max)
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** A dead letter by its own id, or the newest of a file, which may be named by its foreign id. */
export async function findLetter(records: Records, given: string): Promise<DeadLetterRow> {
  if (UUID.test(given)) {
    try {
      return (await getDeadLetter(records, given)).letter
    } catch (error) {
      if (!(error instanceof RecordsError) || error.code !== 'NOT_FOUND') throw error
    }
  }
  const ofFile = await listDeadLetters(records, { fileId: toFileId(given), state: 'any', limit: 1_000 })
  const letter = ofFile.findLast(({ state }) => state === 'OPEN') ?? ofFile.at(-1)
  if (letter === undefined) {
    throw missingError(
      'NOT_FOUND',
      `no dead letter and no dead file has the id ${printable(given)}`,
      'see `sealfleet dlq ls`',
    )
  }
  return letter
}
