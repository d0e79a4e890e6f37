import type { Dependency, FailureEntry } from './terms.js'

function transient(dependency: Dependency, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'hold', dependency } as const
  return {
    class: 'transient-infrastructure',
    burnsAttempt: false,
    policy,
    page: false,
    exitStatus: 6,
    owner: 'on-call',
    summary,
    fix,
  }
}

function broken(dependency: Dependency, summary: string, fix: string): FailureEntry {
  const policy = { kind: 'pause', dependency } as const
  return {
    class: 'broken-infrastructure',
    burnsAttempt: false,
    policy,
    page: true,
    exitStatus: 6,
    owner: 'on-call',
    summary,
    fix,
  }
}

/** Outages that end by themselves: no attempt is counted, the fleet slows down behind a breaker. */
export const TRANSIENT_INFRASTRUCTURE = {
  HSM_UNAVAILABLE: transient(
    'hsm',
    'The HSM, its module or its agent did not answer.',
    'Run `npx sealfleet doctor`; check the HSM and the network to it.',
  ),
  HSM_BUSY: transient(
    'hsm',
    'All HSM sessions were taken and the queue for them was full.',
    'Lower SEALFLEET_CONCURRENCY or raise SEALFLEET_HSM_SESSIONS within the token’s maximum.',
  ),
  HSM_SESSION_LOST: transient(
    'hsm',
    'The HSM dropped a session or a login, and one new try did not help.',
    'Wait for the pool to log in again; if it continues, run `npx sealfleet doctor`.',
  ),
  S3_THROTTLED: transient(
    's3',
    'The object store asked for fewer requests.',
    'Wait; if it continues, lower SEALFLEET_CONCURRENCY or raise the limit of the store.',
  ),
  S3_UNAVAILABLE: transient(
    's3',
    'The object store did not answer, or answered with an internal error.',
    'Run `npx sealfleet doctor`; check the store and the network to it.',
  ),
  S3_TIMEOUT: transient(
    's3',
    'A request to the object store took too long.',
    'Check the network to the store; raise SEALFLEET_S3_REQUEST_TIMEOUT_MS if the line is just slow.',
  ),
  DB_UNAVAILABLE: transient(
    'database',
    'PostgreSQL did not answer, had no free connection, or gave up on a statement.',
    'Run `npx sealfleet doctor`; check PostgreSQL and its number of connections.',
  ),
  REDIS_UNAVAILABLE: transient(
    'redis',
    'Redis did not answer, or was not ready to take writes.',
    'Run `npx sealfleet doctor`; check Redis. What was accepted is in PostgreSQL and not lost.',
  ),
  SHUTDOWN: {
    ...transient('process', 'The worker was asked to stop and gave the job back.', 'Nothing: another worker takes it.'),
    exitStatus: 1,
  },
} as const satisfies Record<string, FailureEntry>

/** Broken for every file: intake pauses, on-call is paged, the backlog is kept. */
export const BROKEN_INFRASTRUCTURE = {
  HSM_ACCESS_DENIED: broken(
    'hsm',
    'The HSM refused the login, the PIN or the use of a key.',
    'Check SEALFLEET_PKCS11_PIN_FILE, the token’s label and the module’s path. Don’t try again and again: tokens lock.',
  ),
  KEY_MISMATCH: {
    ...broken(
      'hsm',
      'A master key in the HSM is not the one that was registered, or the HSM computes nonsense with it.',
      'Run `npx sealfleet keys check`; restore the right key. Nothing is sealed with that version until then.',
    ),
    exitStatus: 5,
    owner: 'security',
  },
  NO_ACTIVE_KEY: {
    ...broken(
      'hsm',
      'A key domain has no ACTIVE master key to seal with.',
      'Run `npx sealfleet keys list`; make the keys with `npx sealfleet keys init`.',
    ),
    exitStatus: 5,
    owner: 'operator',
  },
  S3_ACCESS_DENIED: broken(
    's3',
    'The object store refused the credentials, their signature or the operation.',
    'Check SEALFLEET_S3_ACCESS_KEY_ID, its secret, the policy of the bucket and this machine’s clock.',
  ),
  S3_NO_BUCKET: broken(
    's3',
    'The bucket does not exist.',
    'Check SEALFLEET_S3_BUCKET, SEALFLEET_S3_ENDPOINT and SEALFLEET_S3_REGION; create the bucket.',
  ),
  S3_REJECTED: broken(
    's3',
    'The object store refused a request as malformed or not allowed, in a way that has no code of its own.',
    'Read the store’s own log for that time; run `npx sealfleet doctor`: it tries out what the store can do.',
  ),
  S3_UNSUPPORTED: broken(
    's3',
    'The object store can’t do what Sealfleet needs.',
    'Run `npx sealfleet doctor`: it says what the store lacks.',
  ),
  DB_ACCESS_DENIED: broken(
    'database',
    'PostgreSQL refused the user, the password or the operation.',
    'Check SEALFLEET_DATABASE_URL and the rights of its user.',
  ),
  DB_SCHEMA: broken(
    'database',
    'The database does not exist, or its tables are not those of this version.',
    'Check the database name in SEALFLEET_DATABASE_URL; run the migrations of this version.',
  ),
  S3_TLS: broken(
    's3',
    'TLS to the object store could not be set up: one side does not accept the other’s certificate.',
    'The message says which; check the certificates and SEALFLEET_S3_TLS_CA_FILE, _CERT_FILE and _SERVER_NAME.',
  ),
  DB_TLS: broken(
    'database',
    'TLS to PostgreSQL could not be set up: one side does not accept the other’s certificate.',
    'The message says which; check the certificates and SEALFLEET_DATABASE_TLS_CA_FILE, _CERT_FILE and _SERVER_NAME.',
  ),
  REDIS_TLS: broken(
    'redis',
    'TLS to Redis could not be set up: one side does not accept the other’s certificate.',
    'The message says which; check the certificates and SEALFLEET_REDIS_TLS_CA_FILE, _CERT_FILE and _SERVER_NAME.',
  ),
  REDIS_ACCESS_DENIED: broken(
    'redis',
    'Redis refused the user, the password or a command.',
    'Check SEALFLEET_REDIS_URL and the access list of its user.',
  ),
  REDIS_UNSUITABLE: broken(
    'redis',
    'Redis may throw away keys of the queues when its memory is full (or can’t keep what it is given).',
    'Set maxmemory-policy to noeviction on this Redis, or use a Redis of its own for the queues.',
  ),
  FLEET_MISMATCH: {
    ...broken(
      'redis',
      'The queues, the bucket or the keys that the settings name belong to another fleet.',
      'Correct the settings (`npx sealfleet fleet show` compares them). Only when this database takes the place of one that is lost: `npx sealfleet fleet adopt`.',
    ),
    exitStatus: 1,
    owner: 'operator',
  },
  ROOT_UNAVAILABLE: broken(
    'roots',
    'The folder of a named root is not there on this worker (not mounted?).',
    'Mount it, or correct SEALFLEET_ROOTS, on every worker.',
  ),
  CONFIG_INVALID: {
    ...broken('process', 'The configuration is incomplete or wrong.', 'Correct the variables that the message names.'),
    exitStatus: 2,
    owner: 'operator',
  },
} as const satisfies Record<string, FailureEntry>
