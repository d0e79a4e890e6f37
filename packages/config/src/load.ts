import type { Concern } from './concern.js'
import { database, type DatabaseConfig } from './concerns/database.js'
import { gateway, type GatewayConfig } from './concerns/gateway.js'
import { hsm, type HsmConfig } from './concerns/hsm.js'
import { kernelChoice, type KernelConfig } from './concerns/kernel.js'
import { log, type LogConfig } from './concerns/log.js'
import { maintenance, type MaintenanceConfig } from './concerns/maintenance.js'
import { ops, type OpsConfig } from './concerns/ops.js'
import { exposureProblems, protection, type Networked, type ProtectionConfig } from './concerns/protection.js'
import { redis, type RedisConfig } from './concerns/redis.js'
import { roots, type RootsConfig } from './concerns/roots.js'
import { s3, type S3Config } from './concerns/s3.js'
import { worker, type WorkerConfig } from './concerns/worker.js'
import { ConfigError, type Problem } from './problem.js'
import { readVariable } from './reader.js'
import { secretFileFault } from './secret-file.js'
import { Sources } from './sources.js'
import { nearestName } from './suggest.js'
import type { Transport } from './transport.js'

/** The sections that a program may request. */
export interface Sections {
  readonly database: DatabaseConfig
  readonly redis: RedisConfig
  readonly s3: S3Config
  readonly hsm: HsmConfig
  readonly roots: RootsConfig
  readonly worker: WorkerConfig
  readonly maintenance: MaintenanceConfig
  readonly ops: OpsConfig
  readonly gateway: GatewayConfig
}

export type Need = keyof Sections

/** Every concern, in the order of the documented table. */
export const CONCERNS: { readonly [N in Need]: Concern<Sections[N]> } & {
  readonly log: Concern<LogConfig>
  readonly kernel: Concern<KernelConfig>
  readonly protection: Concern<ProtectionConfig>
} = {
  database,
  redis,
  s3,
  hsm,
  roots,
  worker,
  maintenance,
  ops,
  gateway,
  log,
  kernel: kernelChoice,
  protection,
}

/** The requested sections, and those that every program gets. */
export type Config<N extends Need = Need> = Pick<Sections, N> & {
  readonly log: LogConfig
  readonly kernel: KernelConfig
  readonly protection: ProtectionConfig
  /** names in the configuration file that are not ours (SOFTHSM2_CONF, …): for the environment of the HSM's agent */
  readonly passthroughEnv: Readonly<Record<string, string>>
  /** warnings that stop nothing: names without a meaning here */
  readonly warnings: readonly string[]
}

export interface LoadOptions<N extends Need, O extends Need = never> {
  /** the sections this program uses; variables of others are ignored */
  readonly needs: readonly N[]
  /** sections used if they are given: absent when none of their required variables is set, else complete */
  readonly optional?: readonly O[]
  /** a file of KEY=VALUE lines; the environment takes precedence */
  readonly configFile?: string | undefined
}

/**
 * Reads the configuration from `env` (an app's main hands in `process.env`; nothing else here looks at it) and from
 * the configuration file, checks it, and returns the typed sections.
 * @throws {ConfigError} with every problem of every needed section at once
 * @example const config = loadConfig(process.env, { needs: ['database', 's3'] }); config.s3.bucket
 */
export function loadConfig<N extends Need, O extends Need = never>(
  env: Readonly<Record<string, string | undefined>>,
  { needs, optional = [], configFile }: LoadOptions<N, O>,
): Config<N> & Partial<Pick<Sections, O>> {
  const sources = new Sources(env, configFile, sharedFoldersOf(env))
  const problems: Problem[] = [...sources.problems]
  const unknown = unknownNames(sources)
  const guards = readSection(protection, sources, problems, [])
  const sharedFolders = guards?.secretFolders ?? []
  const sections: Record<string, unknown> = {}
  const present = optional.filter((need) => isGiven(CONCERNS[need], sources))
  for (const need of new Set<Need | 'log' | 'kernel'>([...needs, ...present, 'log', 'kernel'])) {
    const section = readSection<unknown>(CONCERNS[need], sources, problems, sharedFolders)
    if (section !== undefined) sections[need] = section
  }
  if (guards !== undefined) problems.push(...exposureProblems(transportsOf(sections), guards.allowPlaintext))
  const warnings = unknown.map(
    ({ name, nearest }) =>
      `${name} is not a variable of Sealfleet${nearest === undefined ? '' : `; did you mean ${nearest}?`}`,
  )
  warnings.push(
    ...sources.namesWithoutEffect().map(({ name, instead }) => `${name} in ${configFile} has no effect: ${instead}`),
  )
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => withHint(problem, unknown)))
  return {
    ...(sections as unknown as Pick<Sections, N> &
      Partial<Pick<Sections, O>> & { log: LogConfig; kernel: KernelConfig }),
    protection: guards ?? { allowPlaintext: new Set(), secretFolders: [] },
    passthroughEnv: sources.passthrough(),
    warnings,
  }
}

/** Whether any required variable of the section is set. */
function isGiven({ variables }: Concern<unknown>, sources: Sources): boolean {
  return Object.values(variables).some(
    ({ name, fallback, optional, secret }) =>
      fallback === undefined && optional !== true && sources.values(name, secret === true).length > 0,
  )
}

/**
 * The folders by the environment alone, for the configuration file itself. A wrong value is reported when everything is
 * read.
 */
function sharedFoldersOf(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return (
    readSection(protection, new Sources({ ...env, SEALFLEET_ALLOW_PLAINTEXT: undefined }), [], [])?.secretFolders ?? []
  )
}

/** How each networked dependency of the program is reached. A status server without a port does not listen. */
function transportsOf({ redis, database, s3, ops, gateway, worker, maintenance }: Partial<Sections>): Exposed {
  const ports = [worker, maintenance].flatMap((section) => (section === undefined ? [] : [section.healthPort]))
  const listens = ports.length === 0 || ports.some((port) => port !== undefined)
  return Object.fromEntries(
    Object.entries({ redis, database, s3, ops: listens ? ops : undefined, gateway }).map(([name, section]) => [
      name,
      section?.transport,
    ]),
  )
}

type Exposed = Readonly<Partial<Record<Networked, Transport | undefined>>>

/** The section, or undefined if it has problems, which are added to `problems`. */
function readSection<T>(
  concern: Concern<T>,
  sources: Sources,
  problems: Problem[],
  sharedFolders: readonly string[],
): T | undefined {
  const values: Record<string, unknown> = {}
  const found: Problem[] = []
  for (const [property, variable] of Object.entries(concern.variables)) {
    const reading = readVariable(variable, sources, sharedFolders)
    if ('problem' in reading) found.push(reading.problem)
    else values[property] = reading.value
  }
  // Checks between variables need all of them.
  if (found.length === 0) found.push(...concern.check(values, (path) => secretFileFault(path, sharedFolders)))
  problems.push(...found)
  return found.length === 0 ? concern.build(values) : undefined
}

interface UnknownName {
  readonly name: string
  readonly nearest: string | undefined
}

function unknownNames(sources: Sources): readonly UnknownName[] {
  const known = knownNames()
  return sources
    .ownNames()
    .filter((name) => !known.includes(name))
    .map((name) => ({ name, nearest: nearestName(name, known) }))
}

/** Every name that is read, NAME_FILE forms included. */
function knownNames(): readonly string[] {
  return Object.values(CONCERNS).flatMap((concern) =>
    Object.values(concern.variables).flatMap(({ name, secret }) => (secret === true ? [name, `${name}_FILE`] : [name])),
  )
}

/** A variable that isn't set, while a misspelt one is: reported at the missing variable. */
function withHint(problem: Problem, unknown: readonly UnknownName[]): Problem {
  const twin = unknown.find(({ nearest }) => nearest === problem.variable || nearest === `${problem.variable}_FILE`)
  if (problem.fault !== 'is not set' || twin === undefined) return problem
  return { ...problem, fault: `is not set (but ${twin.name} is: a misspelling?)` }
}
