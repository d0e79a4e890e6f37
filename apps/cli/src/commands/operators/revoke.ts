import {
  countOfficers,
  FREE_OFFICERS,
  getOperator,
  revocationDetail,
  revokeOperator,
  type OperatorRow,
} from '@sealfleet/records/operators'
import type { Command } from 'commander'
import { CliError, missingError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { EXIT } from '../../exit-status.js'
import {
  findOrCreateRequest,
  quoted,
  requestReport,
  signedOptions,
  signedReason,
  printSigningSteps,
  type SignedOptions,
} from './find-or-create-request.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { printable } from '../../output/printable.js'

interface RevokeOptions extends SignedOptions {
  readonly reason?: string
}

const REVOCATION = `
Once there are two officers this makes a request that officers sign, and with --request ID uses it. The last two officers
cannot be revoked: enrol a successor first. A name may be used again afterwards, a key never.`

export function revokeVerb(operators: Command, runner: Runner): void {
  const revoke = signedOptions(
    operators
      .command('revoke')
      .description('revoke an operator: their signatures stop counting, also on open requests')
      .argument('<name>', 'name or id')
      .option('--reason <text>', 'why; it is signed, so with --request it need not be given again'),
  ).addHelpText('after', REVOCATION)
  perform<RevokeOptions>(commonOptions(revoke, { changes: true }), runner, revokeAction)
}

async function revokeAction(context: CommandContext, [given = '']: readonly string[], o: RevokeOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const operator = await getOperator(records, given)
  if (operator === undefined) {
    throw missingError('OPERATOR_UNKNOWN', `there is no operator ${printable(given)}`, 'see `sealfleet operators list`')
  }
  const reason = requireReason(o.reason ?? (await signedReason(records, o.request)))
  const dryRun = o.dryRun === true
  const { id, name, revokedAt } = operator
  const officers = await countOfficers(records)
  if (o.request === undefined && revokedAt === null && officers >= FREE_OFFICERS) {
    assertOthersStay(operator, officers)
    const detail = revocationDetail(operator, reason)
    const wanted = { kind: 'operators.revoke', subject: { kind: 'operator', id }, detail } as const
    const request = await findOrCreateRequest(context, records, wanted, o)
    await context.print.document({ operator, request: request ? requestReport(request) : null, dryRun })
    return await printSigningSteps(context, request, wanted, `sealfleet operators revoke ${quoted(name)}`)
  }
  const input = { operator: id, revokedBy: `cli:${context.io.user}`, reason, requestId: o.request }
  const revoked = await inTransaction(records, dryRun, (tx) => revokeOperator(tx, input))
  await context.print.document({ operator: revoked, request: null, dryRun })
  await context.print.text(`${name} ${dryRun ? 'would be' : 'is'} revoked: their signatures no longer count`)
}

/** Checked before anyone signs in vain; `revokeOperator` decides. */
function assertOthersStay({ role, name }: OperatorRow, officers: number): void {
  if (role !== 'officer' || officers > FREE_OFFICERS) return
  throw new CliError('OPERATOR_NEEDED', `without ${name} only one officer would be left, and nothing could be signed`, {
    exitStatus: EXIT.failed,
    fix: 'enrol a successor first: sealfleet operators add',
  })
}
