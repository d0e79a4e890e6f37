import {
  addOperator,
  assertEnrollable,
  countOfficers,
  enrolmentDetail,
  FREE_OFFICERS,
  listOperators,
  type OperatorRole,
} from '@sealfleet/records/operators'
import { Option, type Command } from 'commander'
import path from 'node:path'
import type { CommandContext, CommonOptions } from '../../context.js'
import {
  findOrCreateRequest,
  quoted,
  requestReport,
  signedOptions,
  printSigningSteps,
  type SignedOptions,
} from './find-or-create-request.js'
import { readPublicKey } from './public-key-file.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { keygenVerb } from './keygen.js'
import { revokeVerb } from './revoke.js'
import { printable } from '../../output/printable.js'

interface AddOptions extends SignedOptions {
  readonly publicKey: string
  readonly role: OperatorRole
}

export function operatorsVerbs(program: Command, runner: Runner): void {
  const operators = program
    .command('operators')
    .description('manage operators, whose signatures allow what no one may do alone: destroy, shred, enrol')

  const list = operators.command('list').description('list operators, with their keys and who signed their enrolment')
  perform<CommonOptions>(commonOptions(list, { changes: false }), runner, listAction)

  const add = signedOptions(
    operators
      .command('add')
      .description('enrol a person by their Ed25519 public key')
      .argument('<name>', 'their name: letters, digits, spaces and . _ @ -')
      .requiredOption('--public-key <file>', 'PEM (openssl pkey -pubout), or 32 bytes in base64 or hexadecimal')
      .addOption(
        new Option('--role <role>', 'an officer signs everything, an auditor what concerns the audit log')
          .choices(['officer', 'auditor'])
          .default('officer'),
      ),
  ).addHelpText('after', ENROLMENT)
  perform<AddOptions>(commonOptions(add, { changes: true }), runner, addAction)

  revokeVerb(operators, runner)
  keygenVerb(operators, runner)
}

const ENROLMENT = `
The first two officers are enrolled without signatures, since there is no one to sign yet. Enrol them in one sitting, and a
third one at once. From then on this makes a request that officers sign (see \`requests\`), and with --request ID uses it.
The private key never comes here: it is made with \`operators keygen\` or openssl on a machine of the operator’s own.`

async function listAction(context: CommandContext): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const operators = await listOperators(records)
  await context.print.document({ operators })
  const columns = ['NAME', 'ROLE', 'PUBLIC KEY', 'ENROLLED', 'BY', 'REQUEST', 'REVOKED'].map((title) => ({ title }))
  const rows = operators.map((one) => [
    one.name,
    one.role,
    one.publicKey.toString('hex'),
    humanTime(one.enrolledAt),
    one.enrolledBy,
    one.requestId ?? '-',
    one.revokedAt === null ? '-' : `${humanTime(one.revokedAt)} by ${one.revokedBy ?? '-'}`,
  ])
  await context.print.text(
    rows.length === 0 ? 'no operator is enrolled yet: sealfleet operators add' : table(columns, rows),
  )
}

async function addAction(context: CommandContext, [name = '']: readonly string[], o: AddOptions): Promise<void> {
  const publicKey = await readPublicKey(path.resolve(context.io.cwd, o.publicKey))
  const records = await openDatabase(context, context.settings.load(['database']))
  const dryRun = o.dryRun === true
  if (o.request === undefined && (await countOfficers(records)) >= FREE_OFFICERS) {
    const wanted = {
      kind: 'operators.add',
      subject: { kind: 'operator', id: name },
      detail: enrolmentDetail({ ...o, publicKey }),
    } as const
    await records.transaction((tx) => assertEnrollable(tx, { name, publicKey }))
    const request = await findOrCreateRequest(context, records, wanted, o)
    await context.print.document({ operator: null, request: request ? requestReport(request) : null, dryRun })
    const role = o.role === 'officer' ? '' : ` --role ${o.role}`
    const then = `sealfleet operators add ${quoted(name)} --public-key ${quoted(o.publicKey)}${role}`
    return await printSigningSteps(context, request, wanted, then)
  }
  const enrolledBy = `cli:${context.io.user}`
  const input = { name, role: o.role, publicKey, enrolledBy, requestId: o.request }
  const { operator, officers } = await inTransaction(records, dryRun, async (tx) => ({
    operator: await addOperator(tx, input),
    officers: await countOfficers(tx),
  }))
  await context.print.document({ operator, request: null, dryRun })
  await context.print.text(
    `${printable(name)} ${dryRun ? 'would be' : 'is'} enrolled as ${o.role}, key ${publicKey.toString('hex')}`,
  )
  if (dryRun || operator.role !== 'officer' || officers > FREE_OFFICERS) return
  await context.print.note(
    officers < FREE_OFFICERS
      ? 'note: nothing can be signed before a second officer is enrolled'
      : 'note: from now on enrolment needs two signatures. Enrol a third officer now: when one of two keys is lost, nothing can be signed any more',
  )
}
