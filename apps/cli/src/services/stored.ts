import { getFile } from '@sealfleet/records/files'
import { readableObject, registeredKeys, type StoredFile, type StoredFiles } from '@sealfleet/objects'
import type { Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'
import { CliError } from '../cli-error.js'
import type { CommandContext } from '../context.js'
import { explainCode } from '../describe-error.js'
import { EXIT } from '../exit-status.js'
import { deletionText } from '../files/deletion.js'
import { findFileId, noSuchFile } from '../input/file-id.js'
import { fleetLockout, openPool } from './hsm.js'
import { openDatabase } from './records.js'
import { openObjectStore } from './store.js'

/** Records, store and HSM, opened once for all files of a command; closed when it ends. */
export interface FileStore extends StoredFiles {
  readonly records: Records
  /** Throws NOT_FOUND or FILE_NOT_STORED (status 4). */
  find(given: string): Promise<StoredFile>
}

export async function openFileStore(context: CommandContext): Promise<FileStore> {
  const config = context.settings.load(['database', 's3', 'hsm'])
  const records = await openDatabase(context, config)
  const pool = await openPool(config, fleetLockout(context, records))
  context.defer(() => pool.close())
  const keys = registeredKeys(records, pool)
  const stores = new Map<string, Promise<Store>>()
  const storeOf = (bucket: string): Promise<Store> => {
    const known = stores.get(bucket)
    if (known) return known
    const s3 = { ...config.s3, bucket }
    const opened = openObjectStore({ s3 }, { access: 'read-only', context }).then((store) => {
      context.defer(() => store.close())
      return store
    })
    stores.set(bucket, opened)
    return opened
  }
  // The configured bucket is opened at once, so that a wrong secret is found before any file is read.
  await storeOf(config.s3.bucket)
  return {
    records,
    find: (given) => findStored(records, given),
    object: (stored) => readableObject({ keys, storeOf }, stored, context.signal),
  }
}

async function findStored(records: Records, given: string): Promise<StoredFile> {
  const fileId = await findFileId(records, given, ['STORED'])
  const found = await getFile(records, fileId)
  if (found === undefined) throw noSuchFile(given, fileId)
  const { file, committed } = found
  if (committed !== null) return { file, committed }
  const deleted = deletionText(file)
  if (deleted !== undefined) {
    throw new CliError('FILE_NOT_STORED', `file ${file.id} is gone: it was ${deleted}`, {
      exitStatus: EXIT.missing,
      fix: `sealfleet trace ${file.id}`,
    })
  }
  const failure = file.state === 'DEAD' && file.lastFailure ? `: ${explainCode(file.lastFailure.code).message}` : ''
  throw new CliError('FILE_NOT_STORED', `file ${file.id} is ${file.state}, not STORED${failure}`, {
    exitStatus: EXIT.missing,
    fix:
      file.state === 'QUEUED' || file.state === 'RUNNING'
        ? 'wait for it: sealfleet status'
        : `sealfleet trace ${file.id}`,
  })
}
