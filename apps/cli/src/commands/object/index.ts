import { openObject, verifyObject, type ObjectInfo } from '@sealfleet/format'
import type { Command } from 'commander'
import { usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { readContext, type ContextOptions } from '../../files/context.js'
import { checkDestination, deliver, rehearseDelivery, wantsNoProgress } from '../../files/deliver.js'
import { parseRange, resolveRange } from '../../files/range.js'
import { createProgress } from '../../output/progress.js'
import { pairs } from '../../output/table.js'
import { count, humanSize, humanTime } from '../../output/units.js'
import { openPool } from '../../services/hsm.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { inspect, openObjectInput, type ObjectInput } from './source.js'
import { printable } from '../../output/printable.js'

interface SourceOptions extends CommonOptions {
  readonly objectVersion?: string
}

interface ReadOptions extends SourceOptions, ContextOptions {
  readonly contextUnchecked?: boolean
}

interface OpenVerbOptions extends ReadOptions {
  readonly output?: string
  readonly force?: boolean
  readonly range?: string
}

const NEEDS = 'Needs only the HSM (and S3 for an s3:// address): no database, no Redis.'

/** `object inspect|open|verify`: these work when everything but the HSM and the object is lost. */
export function objectVerbs(program: Command, runner: Runner): void {
  const object = program.command('object').description('read sealed objects directly; needs no database')

  const inspectVerb = object
    .command('inspect')
    .description('show what an object says about itself, unauthenticated. Does not even need the HSM.')
  perform<SourceOptions>(sourceArgument(commonOptions(inspectVerb, { changes: false })), runner, inspectAction)

  const openVerb = object
    .command('open')
    .description(`decrypt an object, fully checked. ${NEEDS}`)
    .option('-o, --output <path>', 'write here; the file appears only when it is complete; - is standard output')
    .option('--force', 'replace an existing file')
    .option('--range <a-b>', 'only these bytes: A-B (both ends count), A- or -N (the last N)')
  perform<OpenVerbOptions>(
    contextOptions(sourceArgument(commonOptions(openVerb, { changes: true }))),
    runner,
    openAction,
  )

  const verifyVerb = object
    .command('verify')
    .description(`check every byte of an object without decrypting; uses only the signing master key. ${NEEDS}`)
  perform<ReadOptions>(
    contextOptions(sourceArgument(commonOptions(verifyVerb, { changes: false }))),
    runner,
    verifyAction,
  )
}

function sourceArgument(command: Command): Command {
  return command
    .argument('<path>', 'a file, or s3://bucket/key')
    .option('--object-version <id>', 'this version of an s3:// object')
}

function contextOptions(command: Command): Command {
  return command
    .option('--context <text>', 'the context the file was sealed with (default: the empty one)')
    .option('--context-hex <hex>', 'the same, in hexadecimal')
    .option('--context-file <path>', 'the same, as the bytes of a file')
    .option('--context-unchecked', 'open without knowing the context; it is reported as unchecked')
}

async function inspectAction(context: CommandContext, [target = '']: readonly string[], o: SourceOptions) {
  const source = await openObjectInput(context, target, o.objectVersion)
  const info = await inspect(context, source)
  const authenticated = false
  await context.print.document({
    object: source.where,
    authenticated,
    ...info,
    metadataContext: source.metadataContext,
  })
  await context.print.text(
    `${describeInfo(info, source)}\n\nNone of this is authenticated; \`object verify\` does that.`,
  )
}

async function openAction(context: CommandContext, [target = '']: readonly string[], o: OpenVerbOptions) {
  const range = o.range === undefined ? undefined : parseRange(o.range)
  const destination = { output: o.output, force: o.force === true }
  checkDestination(context, destination)
  const given = await givenContext(context, o)
  const source = await openObjectInput(context, target, o.objectVersion)
  await inspect(context, source)
  const chosen = chooseContext(given, source)
  const pool = await openHsm(context)
  using opened = await openObject(source.reader, {
    keys: pool,
    unwrapper: pool,
    context: chosen.value,
    signal: context.signal,
  })
  const { start, end } = range ? resolveRange(range, opened.plaintextLength) : { start: 0, end: opened.plaintextLength }
  const about = {
    object: source.where,
    ...(range ? { range: { start, end } } : {}),
    contextChecked: opened.contextChecked,
    contextFrom: chosen.from,
    fileId: opened.info.fileId,
    attemptId: opened.info.attemptId,
  }
  if (o.dryRun === true) {
    await rehearseDelivery(context, destination)
    await context.print.document({ ...about, output: o.output ?? '-', bytes: end - start, dryRun: true })
    return context.print.text(`would write ${humanSize(end - start)} to ${printable(o.output ?? 'standard output')}`)
  }
  const progress = createProgress(context.io, {
    noun: 'object',
    items: 1,
    totalBytes: end - start,
    quiet: wantsNoProgress(context, destination),
  })
  try {
    const delivered = await deliver(
      context,
      destination,
      (options) => (range ? opened.readRange(start, end, options) : opened.readAll(options)),
      (done) => progress.update(target, done, end - start),
    )
    progress.stop()
    await context.print.document({
      ...about,
      output: delivered.path ?? '-',
      bytes: delivered.bytes,
    })
    if (delivered.path !== undefined)
      await context.print.text(`${printable(delivered.path)}  ${humanSize(delivered.bytes)}`)
    await reportContext(context, chosen)
  } finally {
    progress.stop()
  }
}

async function verifyAction(context: CommandContext, [target = '']: readonly string[], o: ReadOptions) {
  const given = await givenContext(context, o)
  const source = await openObjectInput(context, target, o.objectVersion)
  const info = await inspect(context, source)
  const chosen = chooseContext(given, source)
  const pool = await openHsm(context)
  const total = info.objectLength
  const progress = createProgress(context.io, {
    noun: 'object',
    items: 1,
    totalBytes: total,
    quiet: context.print.json,
  })
  try {
    const result = await verifyObject(source.reader, {
      keys: pool,
      unwrapper: pool,
      context: chosen.value,
      signal: context.signal,
      onProgress: (done) => progress.update(target, done, total),
    })
    progress.stop()
    await context.print.document({
      object: source.where,
      verified: true,
      contextChecked: result.contextChecked,
      contextFrom: chosen.from,
      segments: result.segments,
      plaintextLength: result.plaintextLength,
      fileId: result.info.fileId,
      attemptId: result.info.attemptId,
    })
    const size = humanSize(result.plaintextLength)
    await context.print.text(
      `${context.print.paint('good', 'verified')}  ${count(result.segments, 'segment')}, ${size} of plaintext`,
    )
    await reportContext(context, chosen)
  } finally {
    progress.stop()
  }
}

async function openHsm(context: CommandContext) {
  const pool = await openPool(context.settings.load(['hsm']))
  context.defer(() => pool.close())
  return pool
}

interface ChosenContext {
  readonly value: Uint8Array | 'unchecked'
  readonly from: 'command line' | 'metadata of the object' | 'empty' | 'unchecked'
}

async function givenContext(context: CommandContext, o: ReadOptions): Promise<Buffer | 'unchecked' | undefined> {
  const given = await readContext(o, context.io.cwd)
  if (o.contextUnchecked !== true) return given
  if (given !== undefined) throw usageError('--context-unchecked cannot be combined with a context')
  return 'unchecked'
}

/**
 * The caller's context; else the one in S3's metadata, which the header's keyed tag confirms or refuses; else empty.
 */
function chooseContext(given: Buffer | 'unchecked' | undefined, source: ObjectInput): ChosenContext {
  if (given === 'unchecked') return { value: given, from: 'unchecked' }
  if (given !== undefined) return { value: given, from: 'command line' }
  if (source.metadataContext?.length) return { value: source.metadataContext, from: 'metadata of the object' }
  return { value: Buffer.alloc(0), from: 'empty' }
}

async function reportContext(context: CommandContext, { value, from }: ChosenContext): Promise<void> {
  if (from === 'unchecked') await context.print.note('note: the context was not checked')
  if (from === 'metadata of the object' && value !== 'unchecked') {
    const shown = Buffer.from(value).toString('utf8')
    await context.print.note(`note: the context is from the object's metadata, and authentic: "${printable(shown)}"`)
  }
}

function describeInfo(info: ObjectInfo, source: ObjectInput): string {
  const hex = (bytes: Uint8Array | null): string =>
    bytes === null ? 'in the record, wrapped' : Buffer.from(bytes).toString('hex')
  const entries: (readonly [string, string])[] = [
    ['object', source.where],
    ['file', info.fileId],
    ['attempt', `${info.attemptId} (number ${info.attemptNo || 'unspecified'})`],
    ['key domain', info.keyDomain],
    ['suite', info.suite === 1 ? '1 (AES-128-CTR)' : '2 (AES-256-CTR)'],
    [
      'key versions',
      `enc ${info.encKeyVersion}, sig ${info.sigKeyVersion}${info.kekVersion ? `, kek ${info.kekVersion}` : ''}`,
    ],
    ['nonces', info.nonceMode],
    ['nonce enc', hex(info.nonceEnc)],
    ['nonce sig', hex(info.nonceSig)],
    ['context tag', hex(info.contextTag)],
    ['header tag', hex(info.htag)],
    ['created', `${humanTime(new Date(info.createdMs))} (as its sealer said)`],
    ['segments', `${info.segmentCount} of ${humanSize(2 ** info.segLog2)}`],
    ['plaintext', `${info.plaintextLength} bytes (${humanSize(info.plaintextLength)})`],
    ['object length', `${info.objectLength} bytes`],
  ]
  if (source.metadataContext?.length) entries.push(['context said', `"${source.metadataContext.toString('utf8')}"`])
  return pairs(entries)
}
