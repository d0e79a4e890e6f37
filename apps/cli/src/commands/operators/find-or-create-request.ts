import {
  canonicalJson,
  createRequest,
  getRequest,
  listRequests,
  type NewRequest,
  type RequestRow,
} from '@sealfleet/records/operators'
import type { Records } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import { missingError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { parseAge } from '../dlq/select.js'
import { count, humanTime } from '../../output/units.js'
import { inTransaction } from '../../services/dry-run.js'
import { wholeNumberOption } from '../../verb.js'
import { describeAction } from './describe-request.js'
import { printable } from '../../output/printable.js'

/** Options of every command that needs operators' signatures. */
export interface SignedOptions extends CommonOptions {
  /** the signed request to use; without it, a request is made */
  readonly request?: string
  /** milliseconds */
  readonly expires: number
  readonly signatures: number
}

export function signedOptions(command: Command): Command {
  return command
    .option('--request <id>', 'the request that operators signed for this; without it, one is made')
    .addOption(
      new Option('--expires <age>', 'how long a new request stays valid: 6h, 1d, at most 30d')
        .argParser(parseAge)
        .default(86_400_000, '1d'),
    )
    .addOption(wholeNumberOption('--signatures <n>', 'signatures that a new request needs (2 to 5)', 2, 5).default(2))
}

export type Wanted = Pick<NewRequest, 'kind' | 'subject' | 'detail'>

/**
 * Makes a request, or finds an open one that was made for exactly the same. With --dry-run it makes none and returns
 * undefined.
 */
export async function findOrCreateRequest(
  context: CommandContext,
  records: Records,
  wanted: Wanted,
  o: SignedOptions,
): Promise<RequestRow | undefined> {
  const { kind, subject } = wanted
  const open = await listRequests(records, { kind, subject, state: 'OPEN' })
  const same = open.find(
    ({ detail, intact, required }) =>
      intact && required === o.signatures && canonicalJson(detail) === canonicalJson(wanted.detail),
  )
  if (same !== undefined) return same
  const made = await inTransaction(records, o.dryRun, (tx) =>
    createRequest(tx, {
      ...wanted,
      required: o.signatures,
      expiresSeconds: Math.floor(o.expires / 1_000),
      createdBy: `cli:${context.io.user}`,
    }),
  )
  return o.dryRun === true ? undefined : made
}

/** Prints the request and the next steps; `then` is the command that uses the signed request, without --request. */
export async function printSigningSteps(
  context: CommandContext,
  request: RequestRow | undefined,
  wanted: Wanted,
  then: string,
): Promise<void> {
  const action = describeAction(wanted)
  if (request === undefined) return context.print.text(`a request would be made: ${action}`)
  const { id, expiresAt } = request
  const missing = missingSignatures(request)
  const file = `request-${id.slice(0, 8)}.bin`
  await context.print.text(
    [
      `request ${id}: ${action}`,
      `It needs ${count(missing, 'more signature')} before ${humanTime(expiresAt)}:`,
      `  sealfleet requests show ${id} --body ${file}`,
      `  sealfleet requests sign ${file} --key PRIVATE_KEY      each operator, where their key is; no network needed`,
      `  sealfleet requests approve ${id} --operator NAME --signature ${file}.sig`,
      `then`,
      `  ${then} --request ${id}`,
    ].join('\n'),
  )
}

/** A request as `--json` shows it. */
export function requestReport(request: RequestRow): Omit<RequestRow, 'body'> & { readonly missing: number } {
  const { body: _body, ...shown } = request
  return { ...shown, missing: missingSignatures(request) }
}

/** An estimate that checks no signature; `consumeRequest` decides. */
export function missingSignatures({ required, signatures }: RequestRow): number {
  return Math.max(0, required - signatures.filter(({ revoked }) => !revoked).length)
}

/** For a command line that can be copied. */
export function quoted(text: string): string {
  return /^[\w./@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** The reason that was signed, so that it need not be typed twice. @throws NOT_FOUND for a request that is not there */
export async function signedReason(records: Records, request: string | undefined): Promise<string> {
  if (request === undefined) return ''
  const found = await getRequest(records, request)
  if (found === undefined)
    throw missingError('NOT_FOUND', `there is no request ${printable(request)}`, 'see `sealfleet requests list`')
  const { reason } = found.detail
  return typeof reason === 'string' ? reason : ''
}
