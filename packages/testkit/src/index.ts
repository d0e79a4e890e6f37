/**
 * Shared helpers of the suites: fresh databases, tokens, buckets, prefixes and folders on the real servers that
 * `npm test` starts.
 */
export { asNobody } from './as-nobody.js'
export { testAuthority, type KeyPair, type TestAuthority } from './certificates.js'
export { redisUrl, requireVariable } from './environment.js'
export { Faulty, type FaultyFunction, type ModuleChoice } from './faulty.js'
export { type Fault, type FaultProxy, type S3Operation, type SeenRequest, startFaultProxy } from './fault-proxy.js'
export { bucketAs, type BucketPolicy, documentedPolicy, type PolicyUser } from './bucket-policy.js'
export { type BucketAddress, type FreshBucket, freshBucket, type S3ServerKind } from './fresh-bucket.js'
export { type FreshDatabase, freshDatabase, hostileDefaults } from './fresh-database.js'
export { type Pgbouncer, startPgbouncer } from './pgbouncer.js'
export { type FreshToken, freshToken } from './fresh-token.js'
export { freshHex, freshPrefix } from './names.js'
export { every, longTest, matrix } from './rows.js'
export { startTcpGate, type TcpGate } from './tcp-gate.js'
export { startTlsGate, type TlsGate, type TlsGateOptions } from './tls-gate.js'
export { type TempDir, tempDir } from './temp-dir.js'
export { COMMIT_STATEMENT, startStatementProxy, type StatementProxy } from './statement-proxy.js'
