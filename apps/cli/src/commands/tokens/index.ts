import {
  createToken,
  getToken,
  listTokens,
  revokeToken,
  TOKEN_SCOPES,
  type TokenRow,
  type TokenScope,
} from '@sealfleet/records/tokens'
import { listDomains } from '@sealfleet/records/fleet'
import type { Records } from '@sealfleet/records'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { CliError, missingError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { parseAge } from '../dlq/select.js'
import { EXIT } from '../../exit-status.js'
import { findDomain } from '../../input/domains.js'
import { requireReason } from '../../input/reason.js'
import { printable } from '../../output/printable.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { dryRunIf } from '../../services/dry-run.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface CreateOptions extends CommonOptions {
  readonly scope: readonly TokenScope[]
  readonly domain?: readonly string[]
  /** milliseconds */
  readonly expires: number
}

export function tokensVerbs(program: Command, runner: Runner): void {
  const tokens = program
    .command('tokens')
    .description('create, list and revoke the tokens with which programs call the HTTP API')

  const create = tokens
    .command('create')
    .description('create a token and show it once')
    .argument('<name>', 'the program that gets it: letters, digits, spaces and . _ @ -')
    .addOption(
      new Option('--scope <scope>', `what it may be used for, several times for more: ${TOKEN_SCOPES.join(', ')}`)
        .argParser(addScope)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--domain <id|name>',
        'only files of this key domain; several times for more (default: every domain)',
      ).argParser((text, before: readonly string[] = []) => [...before, text]),
    )
    .addOption(
      new Option('--expires <age>', 'how long it is valid: 12h, 90d, at most 3650d')
        .argParser(parseAge)
        .default(90 * 86_400_000, '90d'),
    )
    .addHelpText(
      'after',
      `
The token is printed on standard output, alone, and kept nowhere: the database has its SHA-256. Its holder sends it in
the header \`Authorization\`, of the type \`Bearer\`. To exchange one, create the next under another name, hand it out, then
revoke the old one.`,
    )
  perform<CreateOptions>(commonOptions(create, { changes: true }), runner, createAction)

  const list = tokens
    .command('list')
    .description('list tokens with their scopes, domains, end and last use; never their secrets')
    .option('--all', 'include revoked tokens')
  perform<CommonOptions & { readonly all?: boolean }>(commonOptions(list, { changes: false }), runner, listAction)

  const revoke = tokens
    .command('revoke')
    .description('revoke a token: the next request with it is refused')
    .argument('<token>', 'its name or its id, as `tokens list` shows it')
    .requiredOption('--reason <text>', 'why, for the audit log')
  perform<CommonOptions & { readonly reason: string }>(commonOptions(revoke, { changes: true }), runner, revokeAction)
}

/** One more `--scope`. */
function addScope(text: string, before: readonly TokenScope[] = []): readonly TokenScope[] {
  const scope = TOKEN_SCOPES.find((one) => one === text)
  if (scope === undefined) throw new InvalidArgumentError(`It must be one of ${TOKEN_SCOPES.join(', ')}.`)
  return [...before, scope]
}

async function createAction(context: CommandContext, [name = '']: readonly string[], o: CreateOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const domains: string[] = []
  for (const named of o.domain ?? []) domains.push((await findDomain(records, named)).id)
  const dryRun = o.dryRun === true
  const { token, text } = await createToken(dryRunIf(o.dryRun, records), {
    ...{ name, scopes: o.scope, domains: o.domain === undefined ? null : domains },
    ...{ expiresSeconds: Math.floor(o.expires / 1_000), createdBy: `cli:${context.io.user}` },
  })
  // A dry run makes a secret that no row knows: it is not shown.
  await context.print.document({ token, secret: dryRun ? null : text, dryRun })
  if (dryRun) return await context.print.text(`would be created:\n${await tokensTable(records, [token])}`)
  await context.print.text(text)
  await context.print.note(`token ${name} is valid until ${humanTime(token.expiresAt)}; it is not shown again`)
}

async function listAction(
  context: CommandContext,
  _args: readonly string[],
  o: CommonOptions & { readonly all?: boolean },
): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const tokens = await listTokens(records, { revoked: o.all })
  await context.print.document({ tokens })
  await context.print.text(
    tokens.length === 0 ? 'no tokens; see `sealfleet tokens create --help`' : await tokensTable(records, tokens),
  )
}

async function revokeAction(
  context: CommandContext,
  [given = '']: readonly string[],
  o: CommonOptions & { readonly reason: string },
): Promise<void> {
  const reason = requireReason(o.reason)
  const records = await openDatabase(context, context.settings.load(['database']))
  const known = await getToken(records, given)
  if (known === undefined)
    throw missingError('NOT_FOUND', `there is no token ${printable(given)}`, 'see `sealfleet tokens list`')
  if (known.revokedAt !== null) throw revokedBefore(known)
  const actor = `cli:${context.io.user}`
  const revoked = await revokeToken(dryRunIf(o.dryRun, records), { id: known.id, reason, actor })
  const token = o.dryRun === true ? known : revoked
  await context.print.document({ token, dryRun: o.dryRun === true })
  const shown = await tokensTable(records, [token])
  await context.print.text(o.dryRun === true ? `would be revoked:\n${shown}` : shown)
}

async function tokensTable(records: Records, tokens: readonly TokenRow[]): Promise<string> {
  const names = new Map((await listDomains(records)).map(({ id, name }) => [id, name]))
  const past = tokens.some(({ revokedAt }) => revokedAt !== null)
  const titles = ['NAME', 'ID', 'SCOPES', 'DOMAINS', 'EXPIRES', 'LAST USED', 'CREATED BY', ...(past ? ['REVOKED'] : [])]
  const rows = tokens.map((token) => [
    token.name,
    token.id,
    token.scopes.join(', '),
    token.domains === null ? 'all' : token.domains.map((id) => names.get(id) ?? id).join(', '),
    `${humanTime(token.expiresAt)}${token.expiresAt.getTime() <= Date.now() ? ' (expired)' : ''}`,
    token.lastUsedAt === null ? 'never' : humanTime(token.lastUsedAt),
    token.createdBy,
    ...(past ? [token.revokedAt === null ? '-' : `${humanTime(token.revokedAt)} by ${token.revokedBy ?? '-'}`] : []),
  ])
  return table(
    titles.map((title) => ({ title })),
    rows,
  )
}

function revokedBefore({ name, revokedBy }: TokenRow): CliError {
  return new CliError('BAD_STATE', `token ${name} was revoked before, by ${revokedBy ?? 'someone'}`, {
    exitStatus: EXIT.failed,
    fix: 'see `sealfleet tokens list --all`',
  })
}
