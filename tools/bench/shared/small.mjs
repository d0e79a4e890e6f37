/** Small files, and a store for them: what the benchmarks of many small files share. */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Files of random bytes below the world's root. A path that was enqueued before is the same file: every run needs others.
 *
 * @param {import('../memory/world.mjs').World} world @param {string} folder @param {number} count @param {number} size
 * @returns {Promise<string[]>} their paths below the root
 */
export async function makeSmallFiles({ root }, folder, count, size) {
  await mkdir(join(root, folder))
  const names = Array.from({ length: count }, (_, i) => `${folder}/${i}`)
  await Promise.all(names.map((name) => writeFile(join(root, name), randomBytes(size))))
  return names
}

/**
 * A worker's settings that lead to a bucket.
 *
 * @param {{ endpoint: string, region: string, bucket: string, accessKeyId: string, secretAccessKey: string }} bucket
 */
export function storeSettings({ endpoint, region, bucket, accessKeyId, secretAccessKey }) {
  return {
    SEALFLEET_S3_ENDPOINT: endpoint,
    SEALFLEET_S3_REGION: region,
    SEALFLEET_S3_BUCKET: bucket,
    SEALFLEET_S3_ACCESS_KEY_ID: accessKeyId,
    SEALFLEET_S3_SECRET_ACCESS_KEY: secretAccessKey,
  }
}
