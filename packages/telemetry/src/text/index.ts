export { oneLine, printable, printableJson } from './printable.js'
export { cutMiddle, displayWidth } from './width.js'
