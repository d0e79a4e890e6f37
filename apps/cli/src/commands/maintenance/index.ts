import type { Command } from 'commander'
import type { Runner } from '../../verb.js'
import { auditCheckpointVerb } from './audit-checkpoint.js'
import { maintenanceListVerb } from './list.js'
import { reconcileVerb } from './reconcile.js'
import { retentionVerb } from './retention.js'
import { scrubVerb } from './scrub.js'
import { maintenanceShowVerb } from './show.js'
import { sweepVerb } from './sweep.js'

/** The recurring tasks of the maintenance process: what they did, and those of them that a person runs by hand. */
export function maintenanceVerbs(program: Command, runner: Runner): void {
  const maintenance = program
    .command('maintenance')
    .description('list the recurring tasks of maintenance, and run one of them now')
  maintenanceListVerb(maintenance, runner)
  maintenanceShowVerb(maintenance, runner)
  const run = maintenance.command('run').description('run a task now, besides the maintenance process')
  for (const add of [sweepVerb, reconcileVerb, scrubVerb, retentionVerb, auditCheckpointVerb]) add(run, runner)
}
