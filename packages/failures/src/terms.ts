/**
 * Terms. A *failure code* names one way in which a job, or a command, can fail; the list of codes is closed
 * (`FAILURES`). Each belongs to a *class*, which says whose fault it is and how it behaves; its *policy* says what a
 * worker does. To *burn* an attempt is to count it against the file: outages of the fleet's dependencies never do.
 */
export type FailureClass =
  /** an outage that ends by itself: not the file's fault */
  | 'transient-infrastructure'
  /** broken for every file until it is repaired: continuing would turn a backlog into dead letters */
  | 'broken-infrastructure'
  /** the file cannot be read (or written) at the moment */
  | 'transient-source'
  /** the file cannot be read as requested, and a retry won't help; the system that sent it must act */
  | 'permanent-source'
  /** the request is impossible or contradicts an earlier one */
  | 'permanent-request'
  /** bytes differ from the expected ones */
  | 'integrity'
  /** not a fault: the attempt was stopped */
  | 'control'
  /** not foreseen */
  | 'unclassified'

/** The fleet's dependencies; breakers and pauses are per dependency. */
export type Dependency = 'hsm' | 's3' | 'database' | 'redis' | 'roots' | 'process'

/** A worker's action for a job with this failure. */
export type Policy =
  /** give it back, count no attempt, slow the whole fleet down until a probe of the dependency succeeds */
  | { readonly kind: 'hold'; readonly dependency: Dependency }
  /** give it back, count no attempt, take no jobs until the dependency is repaired; page */
  | { readonly kind: 'pause'; readonly dependency: Dependency }
  /** retry after a back-off, until this code has ended `attempts` attempts of the file */
  | { readonly kind: 'retry'; readonly attempts: number }
  /** a dead letter at once */
  | { readonly kind: 'dead' }
  /** record it and stop: another attempt has the file, or the file is no longer wanted */
  | { readonly kind: 'record' }

/** The party that has to act. */
export type Owner = 'on-call' | 'upstream' | 'security' | 'operator' | 'developers'

/**
 * ARCHITECTURE §8: 1 failed, 2 usage, 3 an E_ code, 4 no such file or object, 5 key unknown or destroyed, 6 dependency
 * out of reach.
 */
export type FailureStatus = 1 | 2 | 3 | 4 | 5 | 6

/** One entry of the closed list. */
export interface Failure {
  readonly code: string
  readonly class: FailureClass
  /** whether the attempt counts against the file */
  readonly burnsAttempt: boolean
  readonly policy: Policy
  /** whether on-call is paged */
  readonly page: boolean
  /** exit status of a command that ends with it */
  readonly exitStatus: FailureStatus
  readonly owner: Owner
  /** section of docs/operate/runbook.md, e.g. `docs/operate/runbook.md#hsm_unavailable` */
  readonly runbook: string
  /** the event, in one sentence */
  readonly summary: string
  /** the first action */
  readonly fix: string
}

/** The other fields of an entry; the runbook's anchor follows from the code. */
export type FailureEntry = Omit<Failure, 'code' | 'runbook'>

/** Facts about an error that only the caller knows. */
export interface ClassifyContext {
  /** the dependency in use: tells a missing file from an output folder, and which connection was refused */
  readonly during?: 'source' | 'output' | 'hsm' | 's3' | 'database' | 'redis'
  /** `signal.reason` of the attempt, when its signal has aborted: an AbortError alone doesn't say why */
  readonly abortReason?: unknown
}
