-- How often the process that ran the task last runs it: when it is due next can be read from the row.

ALTER TABLE "maintenance_tasks" ADD COLUMN "every_seconds" DOUBLE PRECISION;
