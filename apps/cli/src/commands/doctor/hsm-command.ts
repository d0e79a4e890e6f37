import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { doctorStatus, failed, ok, type CheckResult } from './check.js'
import { examineHsm } from './examine-hsm.js'
import { formatFigures } from './pool-figures.js'
import { report } from './report.js'
import type { ExitStatus } from '../../exit-status.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

export function doctorHsmVerb(doctor: Command, runner: Runner): void {
  const verb = doctor
    .command('hsm')
    .description(
      'examine the token: module, mechanisms, limits, sessions, login, PIN lockout; compare and use every registered key',
    )
    .addHelpText(
      'after',
      `
Nothing is changed. Each key version is used once; what it derives is wiped and never shown. Below the table are the
figures of this run, the same as a worker's metrics: times by operation and key role, sessions, waiters, errors, hung calls,
restarts, logins, breaker, age of the last probe, and the check values on every token. A PIN that the token rejects is tried
once; one that the fleet has locked out is not tried. Exit status: 0 all is well; 5 a key is missing or wrong; 6 the token, its
login or the database that knows the keys is out of reach; 1 several of these.`,
    )
  perform<CommonOptions>(commonOptions(verb, { changes: false }), runner, action)
}

async function action(context: CommandContext): Promise<ExitStatus> {
  const config = context.settings.load(['hsm', 'database'])
  const findings: CheckResult[] = []
  const records = await openDatabase(context, config).catch((error: unknown) => {
    findings.push(failed('records', error, 'database'))
    return undefined
  })
  if (records !== undefined) findings.push(ok('records', config.database.address))
  const { findings: found, ...shown } = await examineHsm(context, config, records)
  findings.push(...found)
  await report(context, findings, shown)
  if (shown.pool !== undefined) await context.print.text(`\n${formatFigures(shown.pool.figures)}`)
  for (const note of shown.token?.notes ?? []) await context.print.text(`\nnote: ${note}`)
  return doctorStatus(findings)
}
