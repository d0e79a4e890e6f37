/** Fetches a stored object as any S3 client would: the bytes that a thief of the bucket gets. */

/**
 * @param {Record<string, string>} env the application's variables
 * @param {{ bucket: string, objectKey: string }} object
 * @returns {Promise<Buffer>}
 */
export async function fetchObject(env, { bucket, objectKey }) {
  const { GetObjectCommand, S3Client } = await import('@aws-sdk/client-s3')
  const client = new S3Client({
    endpoint: env['SEALFLEET_S3_ENDPOINT'] ?? '',
    region: env['SEALFLEET_S3_REGION'] ?? '',
    forcePathStyle: true,
    credentials: {
      accessKeyId: env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
    },
  })
  try {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: objectKey }))
    if (!Body) throw new Error(`the S3 server answered without a body for ${objectKey}`)
    return Buffer.from(await Body.transformToByteArray())
  } finally {
    client.destroy()
  }
}
