SELECT '`temp_file_limit`', format('is %s, which may be too little to build the index of a large table', limit_is), advice
FROM reset, current_setting('temp_file_limit') limit_is WHERE name = 'temp_file_limit' AND limit_is <> '-1'
