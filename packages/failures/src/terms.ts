/**
 * Terms. A *failure code* names one way in which a job, or a command, can fail; the list of them is closed (`FAILURES`).
 * Each belongs to a *class*, which says whose fault it is and how it behaves; its *policy* says what a worker does.
 * To *burn* an attempt is to count it against the file: outages of what the fleet stands on never do.
 */
export type FailureClass =
  /** an outage that ends by itself: no one's file is at fault */
  | 'transient-infrastructure'
  /** broken for every file until someone repairs it: going on would turn a backlog into dead letters */
  | 'broken-infrastructure'
  /** the file can't be read (or written) just now */
  | 'transient-source'
  /** the file can't be read as asked, and trying again won't help; the system that sent it must act */
  | 'permanent-source'
  /** what was asked for is impossible or contradicts what was asked before */
  | 'permanent-request'
  /** bytes are not what they must be */
  | 'integrity'
  /** not a fault: someone or something stopped the attempt */
  | 'control'
  /** no one thought of it yet */
  | 'unclassified'

/** What the fleet stands on; breakers and pauses are per dependency. */
export type Dependency = 'hsm' | 's3' | 'database' | 'redis' | 'roots' | 'process'

/** What a worker does with a job that failed so. */
export type Policy =
  /** give it back, burn nothing, slow the whole fleet down until a probe of the dependency succeeds */
  | { readonly kind: 'hold'; readonly dependency: Dependency }
  /** give it back, burn nothing, stop taking jobs until someone has repaired the dependency; page */
  | { readonly kind: 'pause'; readonly dependency: Dependency }
  /** try again after a back-off, until this code has ended `attempts` attempts of the file */
  | { readonly kind: 'retry'; readonly attempts: number }
  /** a dead letter at once */
  | { readonly kind: 'dead' }
  /** write it down and let go: another attempt has the file, or no one wants it any more */
  | { readonly kind: 'record' }

/** Whose turn it is. */
export type Owner = 'on-call' | 'upstream' | 'security' | 'operator' | 'developers'

/** ARCHITECTURE §8: 1 failed, 2 usage, 3 an E_ code, 4 no such file or object, 5 key unknown or destroyed, 6 dependency out of reach. */
export type ExitStatus = 1 | 2 | 3 | 4 | 5 | 6

/** One entry of the closed list. */
export interface Failure {
  readonly code: string
  readonly class: FailureClass
  /** whether the attempt counts against the file */
  readonly burnsAttempt: boolean
  readonly policy: Policy
  /** whether someone must be woken */
  readonly page: boolean
  /** status of a command that ends so */
  readonly exitStatus: ExitStatus
  readonly owner: Owner
  /** section of docs/RUNBOOK.md, e.g. `docs/RUNBOOK.md#hsm_unavailable` */
  readonly runbook: string
  /** what happened, in one sentence */
  readonly summary: string
  /** the first thing to do */
  readonly fix: string
}

/** What an entry of the list says beside its code; the runbook's anchor follows from the code. */
export type FailureEntry = Omit<Failure, 'code' | 'runbook'>

/** What only the caller knows about an error. */
export interface ClassifyContext {
  /** what was being talked to: tells a file that isn't there from an output folder, and whose connection was refused */
  readonly during?: 'source' | 'output' | 'hsm' | 's3' | 'database' | 'redis'
  /** `signal.reason` of the attempt, when its signal has aborted: an AbortError alone doesn't say why */
  readonly abortReason?: unknown
}
