import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import type { Queue } from 'bullmq'
import type { Express, RequestHandler } from 'express'
import { shownJobData, shownProgress, shownReport, shownRequestData } from './shown-data.js'

/** Bull Board over the given queues, read-only, mounted at `basePath`. */
export function createBoard(queues: readonly Queue[], basePath: string): RequestHandler {
  const serverAdapter = new ExpressAdapter()
  serverAdapter.setBasePath(basePath)
  createBullBoard({
    queues: queues.map(adapterFor),
    serverAdapter,
    options: {
      uiConfig: {
        boardTitle: 'Sealfleet',
        // Redis's own figures (version, memory, clients) are nobody's business here; /metrics has what matters.
        hideRedisDetails: true,
        pollingInterval: { showSetting: true, forceInterval: -1 },
      },
    },
  })
  // Typed `any` by its package; it is an Express application, which is a request handler.
  const router = serverAdapter.getRouter() as Express
  router.disable('x-powered-by')
  return router
}

function adapterFor(queue: Queue): BullMQAdapter {
  const adapter = new BullMQAdapter(queue, { readOnlyMode: true, allowRetries: false })
  // A name is a stranger's to choose; ours are the queues' own.
  adapter.setFormatter('name', (job: { readonly name?: unknown }) =>
    job.name === queue.name ? queue.name : 'not ours',
  )
  adapter.setFormatter('data', queue.name === 'ingest' ? shownJobData : shownRequestData)
  adapter.setFormatter('returnValue', shownReport)
  adapter.setFormatter('progress', shownProgress)
  return adapter
}
