/** Sessions that an agent opens beside its S: the login session, which keeps the login. */
const ANCHOR = 1
/** A fresh process that confirms an unknown key briefly opens a login session and one more. */
const CONFIRMING = 2

/**
 * Sessions of each agent when a fleet of `workers` processes with `agents` agents each may have `budget` sessions of a
 * token together; at most `wanted`. Below 1 the budget does not suffice.
 */
export function sessionsWithin(budget: number, workers: number, agents: number, wanted: number): number {
  const share = Math.floor(budget / workers)
  return Math.min(wanted, Math.floor((share - CONFIRMING) / agents) - ANCHOR)
}

/** The smallest budget that gives each agent a session. */
export function leastBudget(workers: number, agents: number): number {
  return workers * (agents * (1 + ANCHOR) + CONFIRMING)
}
