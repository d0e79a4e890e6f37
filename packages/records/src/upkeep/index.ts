export { type KeyReport, type LackedKey, type LiveWorker, listLiveWorkers } from './live-workers.js'
export { type MaintenanceTaskRow, finishTask, listTasks, renewTask, startTask } from './maintenance-tasks.js'
export { forgetRelayed, outboxDepth, relayOutbox } from './outbox.js'
export {
  type ScrubFinding,
  type ScrubRow,
  currentScrub,
  finishScrub,
  listScrubs,
  nextToScrub,
  recordScrubbed,
  scrubBacklog,
} from './scrubs.js'
export { sessionReport } from './session-report.js'
export { tableRights } from './table-rights.js'
export { type WorkerRow, forgetWorkers, heartbeat, listWorkers } from './workers.js'
