import {
  addSignature,
  cancelRequest,
  getRequest,
  listRequests,
  parseRequestBody,
  SIGNATURE_BYTES,
  signedBytes,
  type RequestRow,
} from '@sealfleet/records/operators'
import type { Records } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import path from 'node:path'
import { missingError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { OutputFile } from '../../files/output-file.js'
import { missingSignatures, requestReport } from '../operators/find-or-create-request.js'
import { describeRequest, signedDigest } from '../operators/describe-request.js'
import { readSmallFile } from '../operators/small-file.js'
import { pairs, table } from '../../output/table.js'
import { count, humanTime } from '../../output/units.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { signVerb } from './sign.js'
import { printable } from '../../output/printable.js'

interface ListOptions extends CommonOptions {
  readonly state?: RequestRow['state']
}

interface ShowOptions extends CommonOptions {
  readonly body?: string
}

interface ApproveOptions extends CommonOptions {
  readonly operator: string
  readonly signature: string
}

interface CancelOptions extends CommonOptions {
  readonly reason: string
}

export function requestsVerbs(program: Command, runner: Runner): void {
  const requests = program
    .command('requests')
    .description('show, sign, approve and cancel the requests that operators sign')

  const list = requests
    .command('list')
    .description('list requests, the newest first, with what they lack')
    .addOption(
      new Option('--state <state>', 'only requests in this state').choices(['OPEN', 'EXPIRED', 'USED', 'CANCELLED']),
    )
  perform<ListOptions>(commonOptions(list, { changes: false }), runner, listAction)

  const show = requests
    .command('show')
    .description('show one request: what would be done, who signed, what it lacks')
    .argument('<id>', 'the request')
    .option('--body <file>', 'write the exact bytes to be signed to this file (never overwritten)')
  perform<ShowOptions>(commonOptions(show, { changes: false }), runner, showAction)

  signVerb(requests, runner)

  const approve = requests
    .command('approve')
    .description('add an operator’s signature; it is checked against the key they were enrolled with')
    .argument('<id>', 'the request')
    .requiredOption('--operator <name>', 'whose signature it is: name or id')
    .requiredOption(
      '--signature <file>',
      '64 bytes, as they are (`requests sign`, openssl) or in base64 or hexadecimal',
    )
  perform<ApproveOptions>(commonOptions(approve, { changes: true }), runner, approveAction)

  const cancel = requests
    .command('cancel')
    .description('cancel a request that is no longer wanted; its signatures become void')
    .argument('<id>', 'the request')
    .requiredOption('--reason <text>', 'why, for the audit log')
  perform<CancelOptions>(commonOptions(cancel, { changes: true }), runner, cancelAction)
}

async function listAction(context: CommandContext, _args: readonly string[], o: ListOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const requests = await listRequests(records, { state: o.state })
  await context.print.document({ requests: requests.map(requestReport) })
  const columns = ['REQUEST', 'KIND', 'SUBJECT', 'STATE', 'SIGNED BY', 'LACKS', 'MADE BY', 'EXPIRES'].map((title) => ({
    title,
  }))
  const rows = requests.map((one) => [
    one.id,
    one.kind,
    `${one.subject.kind} ${one.subject.id}`,
    one.intact ? one.state : 'TAMPERED',
    one.signatures.map(({ operator }) => operator).join(', ') || '-',
    one.state === 'OPEN' ? String(missingSignatures(one)) : '-',
    one.createdBy,
    humanTime(one.expiresAt),
  ])
  const paint = (padded: string, cell: string): string =>
    cell === 'TAMPERED' ? context.print.paint('bad', padded) : padded
  await context.print.text(rows.length === 0 ? 'no requests' : table(columns, rows, paint))
}

async function showAction(context: CommandContext, [id = '']: readonly string[], o: ShowOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const request = await findRequest(records, id)
  // From the bytes, not from the columns, so that what is shown is what is signed.
  const text = request.intact
    ? describeRequest(parseRequestBody(request.body), request.body, o.wide === true ? undefined : context.io.stdout)
    : TAMPERED
  const body = o.body === undefined ? undefined : path.resolve(context.io.cwd, o.body)
  if (body !== undefined) {
    await using file = await OutputFile.create(body, {
      force: false,
      ifTaken: 'name another file; nothing is ever replaced here',
    })
    await file.write(signedBytes(request.body))
    await file.commit()
  }
  const digest = signedDigest(request.body)
  await context.print.document({ request: { ...requestReport(request), signedSha256: digest }, body: body ?? null })
  await context.print.text(`${text}\n\n${stateOf(request)}`)
  if (body !== undefined) await context.print.note(`the bytes to sign are in ${printable(body)}`)
}

const TAMPERED = 'THE ROW OF THIS REQUEST DOES NOT SAY WHAT ITS SIGNED BYTES SAY: someone wrote to the database'

function stateOf(request: RequestRow): string {
  const { state, signatures, createdBy, consumedAt, consumedBy, cancelledAt, cancelledBy } = request
  const signed = signatures.map((one): [string, string] => [
    'signed by',
    `${one.operator} (${one.role}) at ${humanTime(one.signedAt)}${one.revoked ? ': REVOKED since, does not count' : ''}`,
  ])
  return pairs([
    ['made by', createdBy],
    ['state', state === 'OPEN' ? `OPEN, lacks ${count(missingSignatures(request), 'signature')}` : state],
    ...(consumedAt === null ? [] : [['used', `${humanTime(consumedAt)} by ${consumedBy ?? '-'}`] as [string, string]]),
    ...(cancelledAt === null
      ? []
      : [['cancelled', `${humanTime(cancelledAt)} by ${cancelledBy ?? '-'}`] as [string, string]]),
    ...signed,
  ])
}

async function approveAction(context: CommandContext, [id = '']: readonly string[], o: ApproveOptions): Promise<void> {
  const signature = await readSignature(path.resolve(context.io.cwd, o.signature))
  const records = await openDatabase(context, context.settings.load(['database']))
  await findRequest(records, id)
  const dryRun = o.dryRun === true
  const actor = `cli:${context.io.user}`
  const input = { requestId: id, operator: o.operator, signature, actor }
  const request = await inTransaction(records, dryRun, (tx) => addSignature(tx, input))
  await context.print.document({ request: requestReport(request), dryRun })
  const missing = missingSignatures(request)
  const what = missing === 0 ? 'it can be used' : `it lacks ${count(missing, 'signature')}`
  await context.print.text(`${printable(o.operator)} ${dryRun ? 'would have' : 'has'} signed request ${id}: ${what}`)
}

async function cancelAction(context: CommandContext, [id = '']: readonly string[], o: CancelOptions): Promise<void> {
  const reason = requireReason(o.reason)
  const records = await openDatabase(context, context.settings.load(['database']))
  await findRequest(records, id)
  const dryRun = o.dryRun === true
  const input = { id, actor: `cli:${context.io.user}`, reason }
  const request = await inTransaction(records, dryRun, (tx) => cancelRequest(tx, input))
  await context.print.document({ request: requestReport(request), dryRun })
  await context.print.text(`request ${id} ${dryRun ? 'would be' : 'is'} cancelled`)
}

async function findRequest(records: Records, id: string): Promise<RequestRow> {
  const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)
  const request = isId ? await getRequest(records, id) : undefined
  if (request === undefined)
    throw missingError('NOT_FOUND', `there is no request ${printable(id)}`, 'see `sealfleet requests list`')
  return request
}

/** The raw bytes, or their text form. */
async function readSignature(file: string): Promise<Buffer> {
  const bytes = await readSmallFile(file)
  if (bytes.length === SIGNATURE_BYTES) return bytes
  const text = bytes.toString('latin1').replace(/\s/g, '')
  if (/^[0-9a-f]{128}$/i.test(text)) return Buffer.from(text, 'hex')
  if (/^[A-Za-z0-9+/]{86}==$/.test(text)) return Buffer.from(text, 'base64')
  throw usageError(`${printable(file)} is not an Ed25519 signature: 64 bytes, or those in base64 or hexadecimal`)
}
