export { assertNoEviction, connectProducer, createWorkerConnection } from '@sealfleet/queue'
