import { oneLine } from '@sealfleet/telemetry/text'

/** A fault of one variable, in words an operator can act on. Never holds a secret's value. */
export interface Problem {
  /** the variable's name, e.g. `SEALFLEET_REDIS_URL` (or the configuration file, for a line that cannot be read) */
  readonly variable: string
  /** the fault, as the end of "NAME …": "is not set", "is empty", "is wrong: …" */
  readonly fault: string
  /** the expected form, e.g. "a PostgreSQL URL" */
  readonly expects?: string | undefined
  readonly example?: string | undefined
}

/** A problem as one line: `SEALFLEET_X is not set. It wants …, for example: SEALFLEET_X=…`. */
export function describeProblem(problem: Problem): string {
  const wants = problem.expects === undefined ? '' : ` It wants ${problem.expects}.`
  const example = problem.example === undefined ? '' : ` Example: ${problem.variable}=${problem.example}`
  return `${problem.variable} ${problem.fault}.${wants}${example}`
}

/** Thrown once, with every problem found, so that a configuration is not fixed one restart at a time. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'CONFIG_INVALID'
  readonly problems: readonly Problem[]
  /** the line above the problems */
  readonly heading: string

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
    const heading = `The configuration has ${count}:`
    super([heading, ...problems.map((problem) => `  - ${oneLine(describeProblem(problem))}`)].join('\n'))
    this.problems = problems
    this.heading = heading
  }
}
