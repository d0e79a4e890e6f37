import type { Sections, Transport } from '@sealfleet/config'
import { ok, warning, type CheckResult } from './check.js'

type Reached = { readonly [N in 'redis' | 'database' | 's3']?: Pick<Sections[N], 'transport' | 'tls'> | undefined }

const WORDS: Readonly<Record<Transport, string>> = {
  local: 'on this machine',
  tls: 'by verified TLS',
  unverified: 'by TLS that does not verify the server',
  plaintext: 'without TLS',
}

const VARIABLES = { redis: 'SEALFLEET_REDIS_URL', database: 'SEALFLEET_DATABASE_URL', s3: 'SEALFLEET_S3_ENDPOINT' }

/** How each dependency is reached. Unprotected connections beyond this machine are a warning even when allowed. */
export function checkExposure(sections: Reached): readonly CheckResult[] {
  const reached = (['redis', 'database', 's3'] as const).flatMap((name) => {
    const section = sections[name]
    return section === undefined ? [] : [{ name, transport: section.transport }]
  })
  const exposed = reached.filter(({ transport }) => transport === 'plaintext' || transport === 'unverified')
  const say = (list: typeof reached): string =>
    list.map(({ name, transport }) => `${name} ${WORDS[transport]}`).join(', ')
  if (exposed.length === 0) return reached.length === 0 ? [] : [ok('connections', say(reached))]
  const variables = exposed.map(({ name }) => VARIABLES[name]).join(', ')
  const fix = `set up TLS (${variables}), then remove it from SEALFLEET_ALLOW_PLAINTEXT`
  return [warning('connections', `${say(exposed)}, beyond this machine; SEALFLEET_ALLOW_PLAINTEXT allows it`, fix)]
}
