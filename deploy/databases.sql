-- One database for each: Prefect and MLflow migrate their own, the locks need no table at all.
create database prefect;
create database mlflow;
create database locks;
