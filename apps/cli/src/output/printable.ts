export { cutMiddle, displayWidth, oneLine, printable, printableJson, said } from '@sealfleet/telemetry/text'
