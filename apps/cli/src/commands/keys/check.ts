import { hsmTokens } from '@sealfleet/config'
import { tokenName } from '@sealfleet/hsm'
import { listMasterKeys } from '@sealfleet/records/keys'
import type { KeyRow } from '@sealfleet/records'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { describeError, type ErrorReport } from '../../describe-error.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { compareToken, UNUSABLE, type KeyComparison } from './token-keys.js'
import { table } from '../../output/table.js'
import { findDomain } from '../../input/domains.js'
import { fleetLockout } from '../../services/hsm.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface CheckOptions extends CommonOptions {
  readonly domain?: string
}

type Outcome = KeyComparison['outcome']

/** The check of one token: the outcome of every key, in the order of the rows. */
interface TokenLook {
  /** `primary`, `secondary-1`, … */
  readonly name: string
  readonly outcomes: readonly Outcome[]
  /** labels without a record */
  readonly unrecorded: readonly string[]
}

/** A token that could not be checked. */
interface TokenOut {
  readonly name: string
  readonly error: ErrorReport
}

export function checkVerb(keys: Command, runner: Runner): void {
  const check = keys
    .command('check')
    .description(
      'recompute every check value and known answer in every configured token and compare them with the records',
    )
    .option('--domain <id|name>', 'only this domain')
    .addHelpText(
      'after',
      `
Checks every configured token, the secondaries of SEALFLEET_PKCS11_SECONDARIES too: a failover would fail on a key that a
secondary lacks or has with another value.

Exit status 5: a key is missing, is another one, gives another answer than when it was registered, or is there twice. Exit
status 6: a token is out of reach, and everything else is in order.`,
    )
  perform<CheckOptions>(commonOptions(check, { changes: false }), runner, checkAction)
}

async function checkAction(context: CommandContext, _args: readonly string[], o: CheckOptions): Promise<ExitStatus> {
  const config = context.settings.load(['database', 'hsm'])
  const records = await openDatabase(context, config)
  const domain = o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id
  const rows = await listMasterKeys(records, domain === undefined ? {} : { domain })
  const lockout = fleetLockout(context, records)
  const labels = new Set(rows.map(({ label }) => label))
  const looks: (TokenLook | TokenOut)[] = []
  // One after the other: tokens may share a PIN's lockout.
  for (const [index, token] of hsmTokens(config).entries()) {
    const name = tokenName(index)
    try {
      const { comparisons, listing } = await compareToken(token, lockout, rows)
      const others = listing.map(({ label }) => label).filter((label) => !labels.has(label))
      const outcomes = comparisons.map(({ outcome }) => outcome)
      looks.push({ name, outcomes, unrecorded: domain === undefined ? others : [] })
    } catch (error) {
      // Without its primary a fleet seals nothing, so that fails the whole command.
      if (index === 0) throw error
      looks.push({ name, error: describeError(error) })
    }
  }
  return await tell(context, rows, looks)
}

async function tell(
  { print }: CommandContext,
  rows: readonly KeyRow[],
  looks: readonly (TokenLook | TokenOut)[],
): Promise<ExitStatus> {
  const seen = looks.filter((look) => 'outcomes' in look)
  const out = looks.filter((look) => 'error' in look)
  const [primary] = seen
  await print.document({
    keys: rows.map(({ label, state }, n) => ({
      label,
      state,
      outcome: primary?.outcomes[n],
      tokens: Object.fromEntries(seen.map(({ name, outcomes }) => [name, outcomes[n]])),
    })),
    unrecorded: primary?.unrecorded ?? [],
    tokens: looks.map((look) => ({
      name: look.name,
      ...('error' in look ? { reached: false, error: look.error } : { reached: true, unrecorded: look.unrecorded }),
    })),
  })
  if (rows.length === 0) await print.text('no keys yet: sealfleet keys init')
  else {
    const columns = ['KEY', 'STATE', ...seen.map(({ name }) => (seen.length === 1 ? 'TOKEN' : name.toUpperCase()))]
    const cells = rows.map(({ label, state }, n) => [label, state, ...seen.map(({ outcomes }) => outcomes[n] ?? '')])
    const painter = (padded: string, cell: string, column: number): string =>
      column < 2 ? padded : print.paint(cell === 'ok' || cell === 'destroyed' ? 'good' : 'bad', padded)
    const titles = columns.map((title) => ({ title }))
    await print.text(table(titles, cells, painter))
  }
  const where = (name: string): string => (looks.length === 1 ? 'the token' : `the token ${name}`)
  let bad = false
  for (const { name, outcomes, unrecorded } of seen) {
    for (const label of unrecorded) await print.note(`note: ${label} is in ${where(name)} and in no record`)
    for (const [n, { label }] of rows.entries()) {
      const outcome = outcomes[n]
      if (outcome === undefined || !UNUSABLE.includes(outcome)) continue
      bad = true
      await print.note(
        `${label}: ${outcome} in ${where(name)}; nothing is sealed or opened with it there until the right key is back`,
      )
    }
  }
  for (const { name, error } of out) await print.note(`${name} was not checked: ${error.code}: ${error.message}`)
  return bad ? EXIT.key : combineStatuses(out.map(({ error }) => error.exitStatus))
}
