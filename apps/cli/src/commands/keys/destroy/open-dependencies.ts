import type { Config } from '@sealfleet/config'
import { hsmTokens } from '@sealfleet/config'
import { allTokens } from '@sealfleet/hsm'
import type { DestroyPorts } from '@sealfleet/keys'
import { fleetPinLockout, getMasterKey } from '@sealfleet/records/keys'
import type { DomainPolicy, KeyRow, Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'
import { missingError } from '../../../cli-error.js'
import type { CommandContext } from '../../../context.js'
import { findDomain } from '../../../input/domains.js'
import { openPool } from '../../../services/hsm.js'
import { openDatabase } from '../../../services/records.js'
import { openObjectStore } from '../../../services/store.js'

/** The key that a command names. */
export interface NamedKey {
  readonly domain: string
  readonly role: 'enc' | 'sig' | 'kek'
  readonly version: number
}

/** The dependencies of a destruction, opened for a command. */
export interface OpenedRecords {
  readonly records: Records
  readonly config: Config<'database' | 's3' | 'maintenance'>
  readonly actor: string
}

export async function openRegister(context: CommandContext): Promise<OpenedRecords> {
  const config = context.settings.load(['database', 's3', 'maintenance'])
  return { records: await openDatabase(context, config), config, actor: `cli:${context.io.user}` }
}

/** @throws NOT_FOUND (status 4) for an unknown domain or version */
export async function findNamed(
  records: Records,
  { domain: given, role, version }: NamedKey,
): Promise<{ readonly domain: DomainPolicy; readonly key: KeyRow }> {
  const domain = await findDomain(records, given)
  const key = await getMasterKey(records, { domain: domain.id, role, version })
  if (key === undefined)
    throw missingError(
      'NOT_FOUND',
      `domain ${domain.name} has no ${role} key of version ${version}`,
      'see `sealfleet keys list`',
    )
  return { domain, key }
}

/** Reading every version needs `read-write`: only a store that was tried out reports whether it has versions. */
export async function openStoreFor(
  context: CommandContext,
  config: Config<'s3'>,
  access: 'read-only' | 'read-write',
): Promise<Store> {
  const store = await openObjectStore(config, { access, context })
  context.defer(() => store.close())
  return store
}

/** Every configured token, behind the fleet's PIN lockout. */
export async function openAllTokens(context: CommandContext, records: Records): Promise<DestroyPorts['tokens']> {
  const config = context.settings.load(['hsm'])
  const pool = await openPool(config)
  context.defer(() => pool.close())
  return allTokens(hsmTokens(config), pool, { lockout: fleetPinLockout(records, `cli:${context.io.user}`) })
}
