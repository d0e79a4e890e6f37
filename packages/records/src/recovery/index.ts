export { type RecoveredDestruction, recoverDestruction } from './recover-destruction.js'
export { type FileRecovery, type RecoveredAttempt, recoverFile } from './recover-file.js'
export { type KeyRecovery, recoverMasterKey } from './recover-key.js'
