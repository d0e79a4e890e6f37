import { listDestructions, fleetPinLockout, type DestructionRow } from '@sealfleet/records/keys'
import { hsmTokens } from '@sealfleet/config'
import { allTokens } from '@sealfleet/hsm'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../../context.js'
import { EXIT, type ExitStatus } from '../../../exit-status.js'
import { openRegister, openStoreFor } from './open-dependencies.js'
import { checkDestruction, type Checked, type CheckedSigner } from './verify.js'
import { table } from '../../../output/table.js'
import { humanTime } from '../../../output/units.js'
import { openPool } from '../../../services/hsm.js'
import { openDatabase } from '../../../services/records.js'
import { commonOptions, perform, type Runner } from '../../../verb.js'

interface DestructionsOptions extends CommonOptions {
  readonly verify?: boolean
}

export function destructionsVerb(keys: Command, runner: Runner): void {
  const list = keys
    .command('destructions')
    .description('list scheduled, cancelled and completed destructions, and why the last try was refused')
    .option(
      '--verify',
      'check every signed record, who signed for it, its copy in the store, and that no token holds the key',
    )
    .addHelpText(
      'after',
      `
A record is canonical JSON, signed in the HSM under the audit key: which key, by whose signatures, what needed it, what every
token said afterwards. Its copy in the store outlives the database. With --verify the exit status is 1 when a check
fails.`,
    )
  perform<DestructionsOptions>(commonOptions(list, { changes: false }), runner, listAction)
}

async function listAction(
  context: CommandContext,
  _args: readonly string[],
  o: DestructionsOptions,
): Promise<ExitStatus> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const rows = await listDestructions(records)
  const checked = o.verify === true ? await checkAll(context, rows) : []
  const checkOf = (row: DestructionRow) => checked.find(({ id }) => id === row.id)
  await context.print.document({
    destructions: rows.map((row) => ({
      ...row,
      state: stateOf(row),
      record: row.record === null ? null : (JSON.parse(row.record.toString()) as unknown),
      ...(o.verify === true &&
        row.carriedOutAt !== null && {
          problems: checkOf(row)?.problems ?? [],
          signers: checkOf(row)?.signers ?? [],
        }),
    })),
  })
  const columns = [
    { title: 'KEY' },
    { title: 'STATE' },
    { title: 'SINCE / DUE' },
    { title: 'COPY' },
    { title: 'LAST REFUSAL' },
  ]
  const cells = rows.map((row) => [
    row.label,
    stateOf(row),
    humanTime(row.carriedOutAt ?? row.cancelledAt ?? row.executeAfter),
    row.carriedOutAt === null ? '-' : row.copiedAt === null ? 'not yet' : 'in the store',
    row.carriedOutAt === null ? refusalText(row.lastRefusal) : '-',
  ])
  await context.print.text(rows.length === 0 ? 'no key was ever scheduled for destruction' : table(columns, cells))
  const bad = checked.filter(({ problems }) => problems.length > 0)
  for (const { label, problems } of bad)
    for (const problem of problems) await context.print.note(`${label}: ${problem}`)
  for (const { label, signers } of checked)
    await context.print.text(`${label}: signed by ${signers.map(nameOf).join(', ')}`)
  if (checked.some(({ signers }) => signers.some(({ operator }) => operator === 'unknown')))
    await context.print.text(STRANGERS)
  if (o.verify === true) await context.print.text(`${checked.length - bad.length} of ${checked.length} verified`)
  if (bad.length === 0) return EXIT.done
  await context.print.note(
    'sealfleet: DESTRUCTION_UNPROVEN: keep record and copy as evidence; find out who wrote to them',
  )
  return EXIT.failed
}

async function checkAll(context: CommandContext, rows: readonly DestructionRow[]): Promise<readonly Checked[]> {
  const { records, config } = await openRegister(context)
  const store = await openStoreFor(context, config, 'read-only')
  const hsm = context.settings.load(['hsm'])
  const pool = await openPool(hsm)
  context.defer(() => pool.close())
  const tokens = allTokens(hsmTokens(hsm), pool, { lockout: fleetPinLockout(records, `cli:${context.io.user}`) })
  const checked: Checked[] = []
  for (const row of rows.filter(({ carriedOutAt }) => carriedOutAt !== null)) {
    context.signal.throwIfAborted()
    checked.push(await checkDestruction({ records, store, tokens, pool }, row, context.signal))
  }
  return checked
}

const STRANGERS = `Their signatures are valid under public keys in the signed record. These keys are not enrolled here: the operators were lost
with a database. Compare the keys with what was written down at their enrolment, or enrol the same keys again
(\`sealfleet operators add NAME --public-key FILE\`).`

function nameOf({ name, operator, publicKey }: CheckedSigner): string {
  return operator === 'unknown' ? `${name} (not enrolled here; public key ${publicKey})` : `${name} (${operator})`
}

type State = Pick<DestructionRow, 'carriedOutAt' | 'cancelledAt' | 'due' | 'begunAt'>

function stateOf({ carriedOutAt, cancelledAt, due, begunAt }: State): string {
  if (carriedOutAt !== null) return 'DESTROYED'
  if (cancelledAt !== null) return 'CANCELLED'
  if (begunAt !== null) return 'BEGUN'
  return due ? 'DUE' : 'SCHEDULED'
}

function refusalText(refusal: unknown): string {
  if (typeof refusal !== 'object' || refusal === null) return '-'
  const { code, message } = refusal as { readonly code?: unknown; readonly message?: unknown }
  return `${typeof code === 'string' ? code : '?'}: ${typeof message === 'string' ? message : ''}`
}
