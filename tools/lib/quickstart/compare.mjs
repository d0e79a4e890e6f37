/** Compares two files byte for byte, in slices: they may be larger than memory. */
import { open } from 'node:fs/promises'

const SLICE = 1024 * 1024

/**
 * @param {string} left
 * @param {string} right
 * @returns {Promise<{ equal: boolean, bytes: number }>} `bytes`: how many were compared and found equal
 */
export async function compareFiles(left, right) {
  const files = [await open(left), await open(right)]
  try {
    const sizes = await Promise.all(files.map(async (file) => (await file.stat()).size))
    let bytes = 0
    for (;;) {
      const [a, b] = await Promise.all(files.map(async (file) => await sliceOf(file, bytes)))
      if (!a || !b || !a.equals(b)) return { equal: false, bytes }
      bytes += a.length
      if (a.length === 0) return { equal: sizes[0] === sizes[1], bytes }
    }
  } finally {
    for (const file of files) await file.close()
  }
}

/** Up to a slice; less only at the file's end. @param {import('node:fs/promises').FileHandle} file @param {number} position */
async function sliceOf(file, position) {
  const buffer = Buffer.alloc(SLICE)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, SLICE - length, position + length)
    length += bytesRead
    if (bytesRead === 0 || length === SLICE) return buffer.subarray(0, length)
  }
}
