//! A Delta table, which says itself what its columns are, which files count and what their partitions are: an engine is only
//! told where it lies.

use super::place::{Place, in_container};
use super::text::{literal, plain, quoted};
use super::{AZURE, Engine, LakeTable, Unfit};

pub(super) fn statements(engine: Engine, table: &LakeTable) -> Result<String, Unfit> {
    match engine {
        Engine::Athena => athena(table),
        Engine::BigQuery => bigquery(table),
        Engine::Synapse => synapse(table),
        Engine::Spark => spark(table),
        Engine::Trino => trino(table),
        Engine::DuckDb => duckdb(table),
        Engine::Snowflake => snowflake(table),
    }
}

fn athena(table: &LakeTable) -> Result<String, Unfit> {
    let Place::S3(key) = table.place() else {
        return Err(table.unreachable("Athena", "S3", "s3://BUCKET/PREFIX"));
    };
    Ok(format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {}\nLOCATION {}\nTBLPROPERTIES ('table_type' = 'DELTA');\n",
        quoted(&plain(&table.name), '`'),
        literal(&format!("s3://{key}/")),
    ))
}

fn bigquery(table: &LakeTable) -> Result<String, Unfit> {
    let Place::Gcs(key) = table.place() else {
        return Err(table.unreachable("BigQuery", "Google Cloud Storage", "gs://BUCKET/PREFIX"));
    };
    Ok(format!(
        "-- The connection is what may read the place; it is the default one of the dataset's location.\n\
         CREATE OR REPLACE EXTERNAL TABLE {}\nWITH CONNECTION DEFAULT\nOPTIONS (\n    format = 'DELTA_LAKE',\n    uris = [{}]\n);\n",
        quoted(&table.name, '`'),
        literal(&format!("gs://{key}")),
    ))
}

fn synapse(table: &LakeTable) -> Result<String, Unfit> {
    let Place::Azure { account, container, path } = table.place() else {
        return Err(table.unreachable("Synapse", "Azure storage accounts", AZURE));
    };
    Ok(format!(
        "CREATE OR ALTER VIEW [{}] AS\nSELECT *\nFROM OPENROWSET(\n    BULK {},\n    FORMAT = 'DELTA'\n) AS rows;\n",
        table.name.replace(']', "]]"),
        literal(&format!("https://{account}.dfs.core.windows.net/{}/", in_container(container, path))),
    ))
}

fn spark(table: &LakeTable) -> Result<String, Unfit> {
    let Some(location) = table.place().url("s3a") else {
        return Err(table.unreachable("Spark", "s3://, gs://, abfss:// and folders", AZURE));
    };
    let name = quoted(&plain(&table.name), '`');
    Ok(format!("CREATE TABLE IF NOT EXISTS {name}\nUSING DELTA\nLOCATION {};\n", literal(&location)))
}

fn trino(table: &LakeTable) -> Result<String, Unfit> {
    let Some(location) = table.place().url("s3") else {
        return Err(table.unreachable("Trino", "s3://, gs:// and abfss://", AZURE));
    };
    Ok(format!(
        "-- In the catalog `delta`: connector.name=delta_lake, delta.register-table-procedure.enabled=true\n\
         CALL delta.system.register_table(\n    schema_name => 'default',\n    table_name => {},\n    table_location => {}\n);\n",
        literal(&plain(&table.name)),
        literal(&location),
    ))
}

fn duckdb(table: &LakeTable) -> Result<String, Unfit> {
    let (extension, root) = match table.place() {
        Place::S3(key) => ("httpfs", format!("s3://{key}")),
        Place::Gcs(key) => ("httpfs", format!("gs://{key}")),
        Place::Azure { account, container, path } => {
            ("azure", format!("abfss://{account}.dfs.core.windows.net/{}", in_container(container, path)))
        }
        Place::Local(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
            ("", path.display().to_string())
        }
        Place::Other => return Err(table.unreachable("DuckDB", "s3://, gs://, abfss:// and folders", AZURE)),
    };
    let extensions = [extension, "delta"].into_iter().filter(|name| !name.is_empty());
    let load: String = extensions.map(|name| format!("INSTALL {name};\nLOAD {name};\n")).collect();
    let name = quoted(&table.name, '"');
    Ok(format!("{load}CREATE OR REPLACE VIEW {name} AS\nSELECT * FROM delta_scan({});\n", literal(&root)))
}

fn snowflake(table: &LakeTable) -> Result<String, Unfit> {
    let path = match table.place() {
        Place::S3(key) | Place::Gcs(key) => key.split_once('/').map_or("", |(_, path)| path),
        Place::Azure { path, .. } => path,
        Place::Local(_) | Place::Other => {
            return Err(table.unreachable("Snowflake", "S3, Google Cloud Storage and Azure", "s3://BUCKET/PREFIX"));
        }
    };
    Ok(format!(
        "-- An administrator makes the external volume `watershed`, which is the bucket or container.\n\
         CREATE CATALOG INTEGRATION IF NOT EXISTS watershed_delta\n    CATALOG_SOURCE = OBJECT_STORE\n    TABLE_FORMAT = DELTA\n    ENABLED = TRUE;\n\n\
         CREATE ICEBERG TABLE IF NOT EXISTS {}\n    CATALOG = 'watershed_delta'\n    EXTERNAL_VOLUME = 'watershed'\n    BASE_LOCATION = {}\n    AUTO_REFRESH = TRUE;\n",
        quoted(&table.name, '"'),
        literal(&format!("{path}/")),
    ))
}
