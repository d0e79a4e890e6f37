import { ConfigError, type Config, type Need } from '@sealfleet/config'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../context.js'
import { doctorStatus, failed, ok, skipped, type Finding } from '../doctor/check.js'
import { checkHsm } from '../doctor/hsm.js'
import { checkDatabase, checkRedis, checkRoots, checkStore, type DatabaseFindings } from '../doctor/services.js'
import type { ExitStatus } from '../exit-status.js'
import { table } from '../output/table.js'
import { commonOptions, perform, type Runner } from '../verb.js'

export function doctorVerb(program: Command, runner: Runner): void {
  const doctor = program
    .command('doctor')
    .description(
      'check settings, Redis, Postgres, S3, HSM, master keys, roots and clock; say what to do about each fault',
    )
    .addHelpText(
      'after',
      `
S3 is tried out with small objects below .sealfleet-probe/, which are removed again. Nothing else is changed.`,
    )
  perform<CommonOptions>(commonOptions(doctor, { changes: false }), runner, doctorAction)
}

async function doctorAction(context: CommandContext): Promise<ExitStatus> {
  const findings: Finding[] = []
  const where = context.settings.configFile ?? 'environment alone'
  const section = <N extends Need>(need: N): Config<N> | undefined => {
    try {
      return context.settings.load([need])
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      findings.push(failed(`settings: ${need}`, error))
      return undefined
    }
  }
  const redis = section('redis')
  const database = section('database')
  const s3 = section('s3')
  const hsm = section('hsm')
  const roots = section('roots')
  if (findings.length === 0) findings.push(ok('settings', where))
  const unset = (check: string): readonly Finding[] => [skipped(check, 'its settings are wrong')]

  const withoutDatabase: DatabaseFindings = { findings: unset('database') }
  const [fromRedis, fromDatabase, fromStore, fromRoots] = await Promise.all([
    redis ? checkRedis(context, redis) : unset('redis'),
    database ? checkDatabase(context, database) : withoutDatabase,
    s3 ? checkStore(context, s3) : unset('s3'),
    roots ? checkRoots(roots) : unset('roots'),
  ])
  const fromHsm = hsm ? await checkHsm(context, hsm, fromDatabase.records) : unset('hsm')
  findings.push(...fromDatabase.findings, ...fromRedis, ...fromStore, ...fromHsm, ...fromRoots)
  await report(context, findings)
  return doctorStatus(findings)
}

async function report({ print }: CommandContext, findings: readonly Finding[]): Promise<void> {
  const status = doctorStatus(findings)
  await print.document({
    healthy: status === 0,
    findings: findings.map(({ exitStatus: _exitStatus, ...rest }) => rest),
  })
  const columns = [{ title: 'CHECK' }, { title: 'STATE' }, { title: 'WHAT' }]
  const rows = findings.map(({ check, state, code, detail }) => [
    check,
    code === undefined ? state : `${state} (${code})`,
    detail.split('\n')[0] ?? '',
  ])
  const painter = (padded: string, cell: string, column: number): string => {
    if (column !== 1 || cell === 'skipped') return padded
    return print.paint(cell === 'ok' ? 'good' : 'bad', padded)
  }
  await print.text(table(columns, rows, painter))
  for (const { check, state, detail, fix } of findings) {
    if (state !== 'failed' && state !== 'warning') continue
    const more = detail.includes('\n') ? `\n${detail.split('\n').slice(1).join('\n')}` : ''
    await print.text(`\n${check}:${more}\n  fix: ${fix ?? 'see the state above'}`)
  }
}
