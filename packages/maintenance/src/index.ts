/** Putting right what crashes and outages leave behind: jobs that Redis lost, objects that no file names. */
export type { Finding, StorePorts, SweepOptions, SweepReport } from './terms.js'
export { sweep, sweepDeleted } from './sweep.js'
export { scan } from './scan.js'
export { outOfBalance, reconcile, type JobsPort, type ReconcileOptions, type ReconcileReport } from './reconcile.js'
export { runTasks, type Task, type TaskEvents } from './tasks.js'
export { expire, type ExpireOptions, type ExpireReport } from './expire.js'
export { AUDIT_PREFIX } from './audit-prefix.js'
export { parseObjectKey } from './object-key.js'
