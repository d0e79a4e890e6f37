/** What suites share: fresh databases, tokens, buckets, prefixes and folders on the real servers that `npm test` starts. */
export { redisUrl, requireVariable } from './environment.js'
export { type Fault, type FaultProxy, type Operation, type SeenRequest, startFaultProxy } from './fault-proxy.js'
export { type FreshBucket, freshBucket, type S3ServerKind } from './fresh-bucket.js'
export { type FreshDatabase, freshDatabase } from './fresh-database.js'
export { type FreshToken, freshToken } from './fresh-token.js'
export { freshHex, freshPrefix } from './names.js'
export { startTcpGate, type TcpGate } from './tcp-gate.js'
export { type TempDir, tempDir } from './temp-dir.js'
