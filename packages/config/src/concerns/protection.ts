import { z } from 'zod'
import { defineConcern } from '../concern.js'
import { absolutePath } from '../path.js'
import type { Problem } from '../problem.js'
import type { Transport } from '../transport.js'
import { withDefault } from '../variable.js'

/** Dependencies reached over a network. */
const NETWORKED = ['redis', 'database', 's3', 'ops', 'gateway'] as const
export type Networked = (typeof NETWORKED)[number]

/** Settings for the protection of connections and files, which every program gets, whatever sections it uses. */
export interface ProtectionConfig {
  /** dependencies that may be reached without TLS beyond this machine */
  readonly allowPlaintext: ReadonlySet<Networked>
  /** folders whose files may be readable by others, because a container's runtime mounted them */
  readonly secretFolders: readonly string[]
}

const variables = {
  allowPlaintext: withDefault('none', {
    name: 'SEALFLEET_ALLOW_PLAINTEXT',
    description:
      'what may be reached, or listen, without verified TLS beyond this machine; everything else is refused; for networks of your own alone',
    expects: 'none, or redis, database, s3, ops and gateway, separated by commas',
    example: 'redis,database',
    schema: z.string().transform((value, context): ReadonlySet<Networked> => {
      if (value === 'none') return new Set()
      const names = value.split(',').map((name) => name.trim())
      const unknown = names.find((name) => !(NETWORKED as readonly string[]).includes(name))
      if (unknown === undefined) return new Set(names as Networked[])
      context.addIssue({ code: 'custom', message: `holds ${JSON.stringify(unknown)}` })
      return z.NEVER
    }),
  }),
  secretFolders: withDefault('/run/secrets', {
    name: 'SEALFLEET_SECRET_FOLDERS',
    description:
      'folders where files of secrets may be readable by others and belong to anyone, as containers mount them; for the configuration file itself, set it in the environment',
    expects: 'absolute paths, separated by commas',
    example: '/run/secrets,/etc/sealfleet/secrets',
    schema: z.string().transform((value, context): readonly string[] =>
      value.split(',').map((path) => {
        const parsed = absolutePath.safeParse(path.trim())
        if (parsed.success) return parsed.data
        context.addIssue({ code: 'custom', message: parsed.error.issues[0]?.message ?? 'is not a path' })
        return z.NEVER
      }),
    ),
  }),
}

export const protection = defineConcern({ variables, build: (values): ProtectionConfig => values })

/** The way to get TLS, per dependency. */
const MENDS: Readonly<Record<Networked, { readonly variable: string; readonly mend: string }>> = {
  redis: { variable: 'SEALFLEET_REDIS_URL', mend: 'use a rediss: URL (SEALFLEET_REDIS_TLS_CA_FILE for an own CA)' },
  database: {
    variable: 'SEALFLEET_DATABASE_URL',
    mend: 'add ?sslmode=verify-full to the URL (SEALFLEET_DATABASE_TLS_CA_FILE for an own CA)',
  },
  s3: { variable: 'SEALFLEET_S3_ENDPOINT', mend: 'use an https: endpoint (SEALFLEET_S3_TLS_CA_FILE for an own CA)' },
  ops: {
    variable: 'SEALFLEET_OPS_HOST',
    mend: 'listen on 127.0.0.1 behind a proxy on this machine that has TLS and asks who is there',
  },
  gateway: {
    variable: 'SEALFLEET_GATEWAY_HOST',
    mend: 'listen on 127.0.0.1 behind a proxy on this machine that has TLS',
  },
}

/** Unprotected connections of the needed sections that are not allowed. */
export function exposureProblems(
  transports: Readonly<Partial<Record<Networked, Transport | undefined>>>,
  allowed: ReadonlySet<Networked>,
): readonly Problem[] {
  const exposed = NETWORKED.flatMap((name) => {
    const transport = transports[name]
    const isExposed = transport === 'plaintext' || transport === 'unverified'
    return isExposed && !allowed.has(name) ? [{ name, transport }] : []
  })
  const all = [...allowed, ...exposed.map(({ name }) => name)].join(',')
  return exposed.map(({ name, transport }) => {
    const { variable, mend } = MENDS[name]
    return { variable, fault: `${FAULTS[transport]}: ${mend}; or allow it by SEALFLEET_ALLOW_PLAINTEXT=${all}` }
  })
}

const FAULTS = {
  plaintext: 'leads beyond this machine without TLS',
  unverified: 'leads beyond this machine to a server whose certificate is not checked',
} as const
