export { hasFilesNotRecovered } from './files-not-recovered.js'
