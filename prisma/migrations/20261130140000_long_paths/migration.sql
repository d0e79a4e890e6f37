-- A path may have 4,096 bytes. An entry of a B-tree holds a third of a page at most: a long path that does not compress was refused when its
-- file was accepted. A radix tree (SP-GiST) has no such limit, and finds equal paths and prefixes as well.

DROP INDEX "files_source_path_idx";
CREATE INDEX "files_source_path_idx" ON "files" USING SPGIST ("source_path");
