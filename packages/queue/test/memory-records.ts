import type { AcceptOutcome, AcceptRequest, FileState, FileStatus } from '../src/client/terms.js'

interface Row {
  readonly accept: AcceptRequest
  state: FileState
  generation: number
  code?: string
}

/** What packages/records does for the client, kept in memory: tests of jobs need no PostgreSQL. */
export class MemoryRecords {
  readonly rows = new Map<string, Row>()
  readonly calls: number[] = []

  accept(files: readonly AcceptRequest[]): Promise<readonly AcceptOutcome[]> {
    this.calls.push(files.length)
    return Promise.resolve(files.map((file) => this.#acceptOne(file)))
  }

  states(fileIds: readonly string[]): Promise<readonly FileStatus[]> {
    const known = fileIds.flatMap((fileId) => {
      const row = this.rows.get(fileId)
      return row === undefined ? [] : [{ fileId, state: row.state, code: row.code }]
    })
    return Promise.resolve(known)
  }

  end(fileId: string, state: FileState, code?: string): void {
    const row = this.rows.get(fileId)
    if (row === undefined) throw new Error(`${fileId} is not known`)
    row.state = state
    if (code !== undefined) row.code = code
  }

  #acceptOne(accept: AcceptRequest): AcceptOutcome {
    const row = this.rows.get(accept.fileId)
    if (row === undefined) {
      const fresh: Row = { accept, state: 'QUEUED', generation: accept.generation }
      this.rows.set(accept.fileId, fresh)
      return { outcome: 'accepted', state: fresh.state, generation: fresh.generation }
    }
    const same = row.accept.fingerprint.equals(accept.fingerprint)
    return { outcome: same ? 'exists-same' : 'conflict', state: row.state, generation: row.generation }
  }
}
