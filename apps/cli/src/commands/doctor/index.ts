import { ConfigError, type Config, type Need } from '@sealfleet/config'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { doctorStatus, failed, ok, skipped, type CheckResult } from './check.js'
import { checkExposure } from './exposure.js'
import { checkFleet } from './fleet.js'
import { checkHsm } from './hsm.js'
import { report } from './report.js'
import { checkDatabase, checkRedis, checkRoots, checkStore, type DatabaseFindings } from './services.js'
import type { ExitStatus } from '../../exit-status.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { doctorHsmVerb } from './hsm-command.js'
import { doctorPinVerbs } from './pin.js'

export function doctorVerb(program: Command, runner: Runner): void {
  const doctor = program
    .command('doctor')
    .description('check settings, Redis, Postgres, S3, HSM, master keys, roots and clock; print a fix for each fault')
    .addHelpText(
      'after',
      `
S3 is tried out with small objects below .sealfleet-probe/ and default/.sealfleet-probe/, which are removed again. Nothing else is changed.
Without a part, everything is checked. \`doctor hsm\` examines only the token and its keys, in detail; \`doctor pin\` lists and
resets PIN lockouts.`,
    )
  perform<CommonOptions>(commonOptions(doctor, { changes: false }), runner, doctorAction)
  doctorHsmVerb(doctor, runner)
  doctorPinVerbs(doctor, runner)
}

async function doctorAction(context: CommandContext): Promise<ExitStatus> {
  const findings: CheckResult[] = []
  const where = context.settings.configFile ?? 'environment only'
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
  findings.push(...checkExposure({ redis: redis?.redis, database: database?.database, s3: s3?.s3 }))
  const unset = (check: string): readonly CheckResult[] => [skipped(check, 'its settings are wrong')]

  const withoutDatabase: DatabaseFindings = { findings: unset('database') }
  const [fromRedis, fromDatabase, fromStore, fromRoots] = await Promise.all([
    redis ? checkRedis(context, redis) : unset('redis'),
    database ? checkDatabase(context, database) : withoutDatabase,
    s3 ? checkStore(context, s3) : unset('s3'),
    roots ? checkRoots(roots) : unset('roots'),
  ])
  const fromFleet = await checkFleet(context, fromDatabase.records, { redis, s3 })
  const fromHsm = hsm ? await checkHsm(context, hsm, fromDatabase.records) : unset('hsm')
  findings.push(...fromDatabase.findings, ...fromRedis, ...fromStore, ...fromFleet, ...fromHsm, ...fromRoots)
  await report(context, findings)
  return doctorStatus(findings)
}
