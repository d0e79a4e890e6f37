import type { Concern } from './concern.js'
import { database, type DatabaseConfig } from './concerns/database.js'
import { hsm, type HsmConfig } from './concerns/hsm.js'
import { log, type LogConfig } from './concerns/log.js'
import { maintenance, type MaintenanceConfig } from './concerns/maintenance.js'
import { ops, type OpsConfig } from './concerns/ops.js'
import { redis, type RedisConfig } from './concerns/redis.js'
import { roots, type RootsConfig } from './concerns/roots.js'
import { s3, type S3Config } from './concerns/s3.js'
import { worker, type WorkerConfig } from './concerns/worker.js'
import { ConfigError, type Problem } from './problem.js'
import { readVariable } from './reader.js'
import { Sources } from './sources.js'
import { nearestName } from './suggest.js'

/** The sections a program may ask for. */
export interface Sections {
  readonly database: DatabaseConfig
  readonly redis: RedisConfig
  readonly s3: S3Config
  readonly hsm: HsmConfig
  readonly roots: RootsConfig
  readonly worker: WorkerConfig
  readonly maintenance: MaintenanceConfig
  readonly ops: OpsConfig
}

export type Need = keyof Sections

/** Every concern, in the order of the documented table. */
export const CONCERNS: { readonly [N in Need]: Concern<Sections[N]> } & { readonly log: Concern<LogConfig> } = {
  database,
  redis,
  s3,
  hsm,
  roots,
  worker,
  maintenance,
  ops,
  log,
}

/** The sections that were asked for, and what every program gets. */
export type Config<N extends Need = Need> = Pick<Sections, N> & {
  readonly log: LogConfig
  /** names in the configuration file that are not ours (SOFTHSM2_CONF, …): for the environment of the HSM's agent */
  readonly passthroughEnv: Readonly<Record<string, string>>
  /** what deserves a look but stops nothing: unknown SEALFLEET_ names, secrets' files that others can read */
  readonly warnings: readonly string[]
}

export interface LoadOptions<N extends Need, O extends Need = never> {
  /** the sections this program uses; variables of others are not looked at */
  readonly needs: readonly N[]
  /** sections it uses where they are given: absent when none of their required variables is set, else complete */
  readonly optional?: readonly O[]
  /** a file of KEY=VALUE lines; what the environment sets wins over it */
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
  const sources = new Sources(env, configFile)
  const problems: Problem[] = [...sources.problems]
  const warnings: string[] = []
  const unknown = unknownNames(sources)
  const sections: Record<string, unknown> = {}
  const present = optional.filter((need) => isGiven(CONCERNS[need], sources))
  for (const need of new Set<Need | 'log'>([...needs, ...present, 'log'])) {
    const values = readSection(CONCERNS[need], sources, problems, warnings)
    if (values !== undefined) sections[need] = CONCERNS[need].build(values)
  }
  for (const { name, nearest } of unknown) {
    warnings.push(`${name} is not a variable of Sealfleet${nearest === undefined ? '' : `; did you mean ${nearest}?`}`)
  }
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => withHint(problem, unknown)))
  return {
    ...(sections as unknown as Pick<Sections, N> & Partial<Pick<Sections, O>> & { log: LogConfig }),
    passthroughEnv: sources.passthrough(),
    warnings,
  }
}

/** Whether any variable is set that the section can not do without. */
function isGiven({ variables }: Concern<unknown>, sources: Sources): boolean {
  return Object.values(variables).some(
    ({ name, fallback, optional, secret }) =>
      fallback === undefined && optional !== true && sources.given(name, secret === true).length > 0,
  )
}

function readSection(
  concern: Concern<unknown>,
  sources: Sources,
  problems: Problem[],
  warnings: string[],
): Record<string, unknown> | undefined {
  const values: Record<string, unknown> = {}
  const found: Problem[] = []
  for (const [property, variable] of Object.entries(concern.variables)) {
    const reading = readVariable(variable, sources)
    if ('problem' in reading) found.push(reading.problem)
    else values[property] = reading.value
    if ('warning' in reading && reading.warning !== undefined) warnings.push(reading.warning)
  }
  // Checks between variables need them all.
  if (found.length === 0) {
    found.push(...concern.check(values))
    warnings.push(...concern.warn(values))
  }
  problems.push(...found)
  return found.length === 0 ? values : undefined
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
export function knownNames(): readonly string[] {
  return Object.values(CONCERNS).flatMap((concern) =>
    Object.values(concern.variables).flatMap(({ name, secret }) => (secret === true ? [name, `${name}_FILE`] : [name])),
  )
}

/** A variable that isn't set, while a misspelt one is: say so where the operator looks. */
function withHint(problem: Problem, unknown: readonly UnknownName[]): Problem {
  const twin = unknown.find(({ nearest }) => nearest === problem.variable || nearest === `${problem.variable}_FILE`)
  if (problem.fault !== 'is not set' || twin === undefined) return problem
  return { ...problem, fault: `is not set (but ${twin.name} is: a misspelling?)` }
}
