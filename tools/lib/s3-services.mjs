/** The private S3 servers as services: their own modules start, check and stop them. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checkRadosgw, startRadosgw, stopRadosgw } from './radosgw.mjs'
import { checkS3rver, startS3rver, stopS3rver } from './s3rver.mjs'

/** @typedef {import('./process-service.mjs').Service} Service */
/** @typedef {{ endpoint: string, accessKeyId: string, secretAccessKey: string, region: string }} S3Access */
/** @typedef {{ dir: string, log?: (line: string) => void }} Where */

/**
 * @param {string} folder below the home
 * @param {{ start: (where: Where) => Promise<S3Access>, check: (where: Where) => Promise<S3Access | undefined>, stop: (where: Where) => Promise<void> }} server
 * @returns {Service}
 */
function s3Service(folder, { start, check, stop }) {
  return {
    async start({ home, record, say }) {
      await mkdir(join(home, folder), { recursive: true, mode: 0o700 })
      const { endpoint, accessKeyId, secretAccessKey, region } = await start({ dir: join(home, folder), log: say })
      return { ...record, details: { endpoint, accessKeyId, secretAccessKey, region } }
    },
    serves: async ({ home }) => (await check({ dir: join(home, folder) })) !== undefined,
    stop: async ({ home, say }) => await stop({ dir: join(home, folder), log: say }),
  }
}

export const radosgw = s3Service('radosgw', { start: startRadosgw, check: checkRadosgw, stop: stopRadosgw })
export const s3rver = s3Service('s3rver', { start: startS3rver, check: checkS3rver, stop: stopS3rver })
