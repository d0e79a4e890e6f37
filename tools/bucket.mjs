/**
 * `node tools/bucket.mjs`: makes the bucket of SEALFLEET_S3_BUCKET when it is missing, with versioning if the server
 * has it. For private and container installations; elsewhere the owners of the storage make the bucket.
 */
import './lib/node-version.mjs'
import { CreateBucketCommand, HeadBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3'
import { ConfigError, loadConfig } from '@sealfleet/config'
import { Refusal, runMain, say } from './lib/say.mjs'

await runMain(async () => {
  const { bucket, endpoint, region, forcePathStyle, accessKeyId, secretAccessKey } = settings()
  const credentials = { accessKeyId: accessKeyId.reveal(), secretAccessKey: secretAccessKey.reveal() }
  const client = new S3Client({ region, forcePathStyle, credentials, maxAttempts: 5, ...(endpoint && { endpoint }) })
  try {
    if (await exists(client, bucket)) return
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
    say(`bucket: ${bucket} made`)
    await turnVersioningOn(client, bucket)
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error)
    throw new Refusal(`The bucket \`${bucket}\` could not be made: ${name}: ${message}`, { cause: error })
  } finally {
    client.destroy()
  }
})

function settings() {
  try {
    return loadConfig(process.env, { needs: ['s3'] }).s3
  } catch (error) {
    if (error instanceof ConfigError) throw new Refusal(error.message, { cause: error })
    throw error
  }
}

/** @param {S3Client} client @param {string} bucket */
async function exists(client, bucket) {
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }))
    return true
  } catch (error) {
    const status = /** @type {{ $metadata?: { httpStatusCode?: number } }} */ (error).$metadata?.httpStatusCode
    if (status === 404) return false
    throw error
  }
}

/**
 * Versions let readers pin what they read; a server without them says 400, 405 or 501, or takes it for a second
 * creation: 409.
 */
/** @param {S3Client} client @param {string} bucket */
async function turnVersioningOn(client, bucket) {
  const VersioningConfiguration = { Status: /** @type {const} */ ('Enabled') }
  try {
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }))
  } catch (error) {
    const status = /** @type {{ $metadata?: { httpStatusCode?: number } }} */ (error).$metadata?.httpStatusCode
    if (status === undefined || ![400, 405, 409, 501].includes(status)) throw error
    say(`bucket: this server has no versions (${status})`)
  }
}
