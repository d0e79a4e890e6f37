/**
 * The exit statuses of `sealfleet`. The numbers are part of the interface: scripts branch on them.
 */
export const EXIT = {
  done: 0,
  /** asked for and not done, for a reason that has no number of its own */
  failed: 1,
  /** the command line or the configuration is wrong; nothing was tried */
  usage: 2,
  /** an E_ code: the object, or its record, is not what was sealed */
  integrity: 3,
  /** no such file, object, root or batch */
  missing: 4,
  /** a master key version is unknown or destroyed */
  key: 5,
  /** a dependency (Redis, Postgres, S3, HSM) is out of reach */
  unreachable: 6,
} as const

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]

/** The status that stands for several failures together: the one all share, else plain `failed`. */
export function combineStatuses(statuses: readonly ExitStatus[]): ExitStatus {
  const failures = new Set(statuses.filter((status) => status !== EXIT.done))
  const [only] = failures
  if (only === undefined) return EXIT.done
  return failures.size === 1 ? only : EXIT.failed
}
