import type { Counter, Gauge, Histogram } from 'prom-client'

/** Seconds: from one HSM call (under a millisecond) to its deadline. */
const CALL_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15]

export interface Makers {
  readonly counter: <L extends string>(name: string, help: string, labels?: readonly L[]) => Counter<L>
  readonly gauge: <L extends string>(name: string, help: string, labels?: readonly L[]) => Gauge<L>
  readonly histogram: <L extends string>(
    name: string,
    help: string,
    buckets: number[],
    labels?: readonly L[],
  ) => Histogram<L>
}

/** The metrics of the HSM pool. `token`: primary, secondary-1, … `role`: enc, sig, kek, audit. */
export function hsmMetrics({ counter, gauge, histogram }: Makers) {
  return {
    hsmOperations: counter('hsm_operations_total', 'Calls of the HSM by operation, role and outcome', [
      'operation',
      'role',
      'outcome',
      'token',
    ]),
    hsmSeconds: histogram(
      'hsm_operation_duration_seconds',
      'Duration of calls of the HSM, waiting apart, by operation and role of the key',
      CALL_S,
      ['operation', 'role'],
    ),
    hsmQueueSeconds: histogram(
      'hsm_queue_duration_seconds',
      'Time that calls of the HSM waited for a session, by role of the key',
      CALL_S,
      ['role'],
    ),
    hsmWaiters: gauge('hsm_waiters', 'Callers that wait for a session', ['token']),
    hsmSessions: gauge('hsm_sessions', 'Sessions of the pool by state: idle, leased, hung, broken', ['token', 'state']),
    hsmSessionsWanted: gauge(
      'hsm_sessions_wanted',
      'Sessions that the ready agents should have; more than there are: the token gave no more',
      ['token'],
    ),
    hsmSessionShortages: counter(
      'hsm_session_shortages_total',
      'Times an agent got fewer sessions than it wanted (refused), or wants more than the token allows (limit)',
      ['token', 'reason'],
    ),
    hsmAgents: gauge('hsm_agents', 'Agent processes by state: starting, ready, retiring', ['token', 'state']),
    hsmAgentRestarts: counter('hsm_agent_restarts_total', 'Agent processes that ended, by reason', ['token', 'reason']),
    hsmErrors: counter('hsm_errors_total', 'Return values of PKCS#11 other than CKR_OK, by code and class', [
      'token',
      'code',
      'class',
    ]),
    hsmHung: counter('hsm_hung_sessions_total', 'Calls that passed the hard time-out; each costs a session', [
      'token',
      'role',
    ]),
    hsmSlow: counter('hsm_slow_operations_total', 'Calls that passed the soft time-out', ['token', 'role']),
    hsmLogins: counter('hsm_logins_total', 'Logins to a token, by outcome: accepted, refused', ['token', 'outcome']),
    hsmBreaker: gauge('hsm_breaker', "1 for the state of the pool's own breaker: closed, open, half-open", [
      'token',
      'state',
    ]),
    hsmProbeAge: gauge('hsm_probe_age_seconds', 'Time since a round of comparing check values ended', ['token']),
    hsmCheckValues: gauge(
      'hsm_check_values',
      'Expected keys by outcome of their last comparison: pending, ok, mismatch, unknown, unreachable',
      ['token', 'state'],
    ),
    hsmKeyMismatches: counter('hsm_key_mismatches_total', 'Times a master key was found not to be the registered one', [
      'token',
    ]),
    hsmDisagreements: counter('hsm_disagreements_total', 'Times two computations of the same value differed', ['role']),
    hsmServing: gauge('hsm_token_serving', '1 for the token that operations go to', ['token']),
    hsmTokenUsable: gauge('hsm_token_usable', '1 when a token could serve', ['token']),
    hsmFailovers: counter(
      'hsm_failovers_total',
      'Changes of the token that serves, by the token that took over and reason: breaker, agents, denied, start, returned',
      ['token', 'reason'],
    ),
  }
}
