import type { Suite } from '@sealfleet/format'
import type { DomainPolicy } from '@sealfleet/records'
import { Option, type Command } from 'commander'
import { CliError, usageError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import { printable } from '../../output/printable.js'
import { wholeNumberOption } from '../../verb.js'
import { daysOf, daysOption, type Days } from './days.js'

/** Options of a domain's policy, as `domains add` and `domains set` take them. */
export interface PolicyOptions {
  readonly suite?: '1' | '2'
  readonly nonces?: 'inline' | 'detached'
  readonly segment?: number
  readonly rotationDays?: Days
  readonly retentionDays?: Days
  readonly acceptLossWithDatabase?: boolean
}

export function policyOptions(command: Command, words: { readonly suite: string }): Command {
  return command
    .addOption(new Option('--suite <n>', words.suite).choices(['1', '2']))
    .addOption(new Option('--nonces <mode>', 'where nonces of new files are kept').choices(['inline', 'detached']))
    .addOption(wholeNumberOption('--segment <log2>', 'log2 of the segment size of new files (16 to 24)', 16, 24))
    .addOption(
      daysOption('--rotation-days <n>', 'days after which a rotation of enc and sig is due; or "never"', 'never'),
    )
    .addOption(
      daysOption('--retention-days <n>', 'days after which a stored file may be deleted; or "forever"', 'forever'),
    )
    .option('--accept-loss-with-database', 'for detached nonces: accept that the files are lost with the database')
}

/** The policy in the options; a field that no option sets is undefined. */
export function policyOf(o: PolicyOptions) {
  const suite: Suite | undefined = o.suite === undefined ? undefined : o.suite === '2' ? 2 : 1
  return {
    suite,
    nonceMode: o.nonces,
    segLog2: o.segment,
    rotationDays: daysOf(o.rotationDays),
    retentionDays: daysOf(o.retentionDays),
  } satisfies { readonly [P in Exclude<keyof DomainPolicy, 'id' | 'name'>]: DomainPolicy[P] | undefined }
}

/** Throws USAGE for detached nonces without --accept-loss-with-database. */
export function assertLossAccepted(o: PolicyOptions): void {
  if (o.nonces !== 'detached' || o.acceptLossWithDatabase === true) return
  const message = 'with detached nonces, every file of the domain is lost with the database'
  throw new CliError('USAGE', message, {
    exitStatus: EXIT.usage,
    fix: 'if that is acceptable: --accept-loss-with-database',
  })
}

/** A name that a domain may have. Throws USAGE for others. */
export function assertDomainName(name: string): void {
  if (name === '' || name === 'default' || name.length > 100 || name !== printable(name.trim()))
    throw usageError(
      `a domain cannot be called ${JSON.stringify(name.slice(0, 120))}`,
      'a name has 1 to 100 characters, no control characters, and no blanks around it',
    )
}
